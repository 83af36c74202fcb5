"""Synthetic avatars: a seed becomes a caption, a geometry and multi-view renders with exact cameras.

This package meets the rest of the project only through the files it writes, and by the words of its recipe.
"""
