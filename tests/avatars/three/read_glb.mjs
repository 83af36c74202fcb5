// Prints, as JSON, what three.js makes of the parts of a GLB: node read_glb.mjs FILE.glb
import { readFileSync } from 'node:fs';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';

const bytes = readFileSync(process.argv[2]);
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
const { scene } = await new GLTFLoader().parseAsync(buffer, '');
const parts = [];
scene.traverse((mesh) => {
  if (!mesh.isMesh) return;
  const { material, geometry } = mesh;
  const factors = geometry.attributes.color;
  const mean = [0, 0, 0];
  for (let k = 0; k < factors.count; k++) {
    mean[0] += factors.getX(k) / factors.count;
    mean[1] += factors.getY(k) / factors.count;
    mean[2] += factors.getZ(k) / factors.count;
  }
  parts.push({
    name: material.name,
    color: material.color.toArray(), // linear
    vertexColors: material.vertexColors,
    kind: material.type, // MeshBasicMaterial where it is unlit
    faces: geometry.index.count / 3,
    mean,
  });
});
console.log(JSON.stringify(parts));
