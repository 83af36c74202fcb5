"""The documentation's site: `make docs` writes it to out/docs. Its pages load nothing from anywhere else."""

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import rodin

project = "Rodin"
author = "Rodin contributors"
version = release = rodin.__version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "notebook",
    "packages",
    "plain_docstrings",
    "repository_links",
]
exclude_patterns = ["_build", "_ext", "**/.ipynb_checkpoints"]

# ---- pages in Markdown, which GitHub shows as well

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4  # those of GitHub

# ---- the programming interface, from docstrings

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
default_role = "literal"
python_maximum_signature_line_length = 100

# ---- the look

html_theme = "furo"
html_use_index = False  # the search finds more
toc_object_entries = False  # thousands of names would fill the tree beside every page
html_title = "Rodin"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/rodin-avatars/rodin/",
    "source_branch": "main",
    "source_directory": "docs/",
}
pygments_style = "friendly"
pygments_dark_style = "monokai"
