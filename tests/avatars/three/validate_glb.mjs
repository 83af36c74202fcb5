// Prints, as JSON, what the Khronos validator says of a GLB: node validate_glb.mjs FILE.glb
import { readFileSync } from 'node:fs';
import validator from 'gltf-validator';

const report = await validator.validateBytes(new Uint8Array(readFileSync(process.argv[2])));
console.log(JSON.stringify(report.issues));
