"""Avatars: drawn, changed, rendered, taken away as meshes and videos (Rodin, Sec. 4). Imports nothing by itself."""
