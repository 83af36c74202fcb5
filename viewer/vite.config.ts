import { defineConfig } from "vite";

// One classic script and one style sheet, without hashes in their names: Python writes them into pages as they are.
export default defineConfig({
  build: {
    outDir: "../rodin/web",
    emptyOutDir: true,
    target: "es2022",
    cssMinify: true,
    lib: { entry: "src/index.ts", name: "RodinViewer", formats: ["iife"], fileName: () => "viewer.js", cssFileName: "viewer" },
  },
});
