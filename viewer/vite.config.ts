import { defineConfig } from "vite";

// The viewer is a classic script, which Python writes into pages as it is; the studio's page, with `--mode studio`, is
// served with its script and style beside it. Neither has hashes in its names.
export default defineConfig(({ mode }) => {
  const studio = mode === "studio";
  return {
    publicDir: studio ? "src/studio/public" : false,
    build: {
      outDir: "../rodin/web",
      emptyOutDir: false,
      target: "es2022",
      cssMinify: true,
      lib: studio
        ? { entry: "src/studio/main.ts", name: "RodinStudio", formats: ["iife"], fileName: () => "studio.js", cssFileName: "studio" }
        : { entry: "src/index.ts", name: "RodinViewer", formats: ["iife"], fileName: () => "viewer.js", cssFileName: "viewer" },
    },
  };
});
