// draw(bytes, pose, fov, size, light) -> PNG, as base64: a GLB as three.js shows it, over nothing.
import * as THREE from 'three';
import { GLTFLoader } from 'three/addons/loaders/GLTFLoader.js';

const renderer = new THREE.WebGLRenderer({ antialias: true, alpha: true, preserveDrawingBuffer: true });
renderer.setClearColor(0, 0);

// pose: the camera's, 16 numbers by columns; fov in degrees; light: of the same strength from everywhere, or none
window.draw = async (text, pose, fov, size, light) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const { scene } = await new GLTFLoader().parseAsync(bytes.buffer, '');
  if (light === 'even') scene.add(new THREE.AmbientLight('white', Math.PI));
  if (light === 'lamps') {
    scene.add(new THREE.HemisphereLight('white', '#807870', 1.2));
    const lamp = new THREE.DirectionalLight('white', 2.2);
    lamp.position.set(0.5, 1, 0.8);
    scene.add(lamp);
  }
  const camera = new THREE.PerspectiveCamera(fov, 1, 0.01, 100);
  camera.applyMatrix4(new THREE.Matrix4().fromArray(pose));
  renderer.setSize(size, size, false);
  renderer.render(scene, camera);
  return renderer.domElement.toDataURL('image/png').split(',')[1];
};
