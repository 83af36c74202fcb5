"""An avatar as one HTML file that turns and changes colour: opens by a double click, needs no server and no network.

The viewer of `viewer/`, the avatar and a picture for browsers that run no scripts are all in it. Its security policy
lets run the very scripts and styles that were written here, by their hashes, and nothing load or be sent.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from importlib.resources import files
from pathlib import Path

from PIL import Image

from rodin.avatars.avatar import Avatar
from rodin.avatars.web_file import web_bytes
from rodin.files import write_text
from rodin.images import to_bytes
from rodin.web_page import escaped

POSTER_SIZE = 192
STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; padding: 1.25rem; background: #fbfbfa; }
@media (prefers-color-scheme: dark) { body { background: #15181b; color: #e6e8ea; } }
main { max-width: 80rem; margin: 0 auto; }
main > img { display: block; width: min(100%, 30rem, 100vh - 2.5rem); margin: 0 auto; }
#rodin-problem, noscript { display: block; max-width: 40rem; margin: 1rem auto; font: 1rem/1.5 system-ui, sans-serif; }
#rodin-problem[hidden] { display: none; }
"""
START = "RodinViewer.start().then((viewer) => { window.viewer = viewer; });"


def write_html(path: Path, avatar: Avatar, title: str | None = None) -> None:
    """Write an avatar's page, whole or not at all.

    Args:
        title: what the page calls it; the words that it was drawn for, if None and there were any.

    Raises:
        UserError: the place cannot be written.
    """
    write_text(path, html_of(avatar, title))


def html_of(avatar: Avatar, title: str | None = None) -> str:
    """The page of `write_html`."""
    name = title or avatar.drawing.prompt or "An avatar"
    style = STYLE + bundled("viewer.css")
    script = bundled("viewer.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script)} {_hash(START)}",
            f"style-src {_hash(style)}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    held = base64.b64encode(web_bytes(avatar, name)).decode()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(name)}</title>
<style>{style}</style>
</head>
<body>
<main id="rodin-viewer">
<img src="{poster(avatar)}" alt="{escaped(name)}, from the front">
<noscript>Turn on JavaScript to turn this avatar and to change its colours.</noscript>
</main>
<p id="rodin-problem" role="alert" hidden></p>
<script type="application/octet-stream" id="rodin-avatar">{held}</script>
<script>{script}</script>
<script>{START}</script>
</body>
</html>
"""


def bundled(name: str) -> str:
    """A file of the viewer's bundle, as `make viewer` builds it; fit to stand inside <script> or <style>."""
    text = files("rodin").joinpath("web", name).read_text(encoding="utf-8")
    assert not re.search(r"</script|</style|<!--", text, re.IGNORECASE)
    return text


def poster(avatar: Avatar) -> str:
    """The frontal view as an address that holds it."""
    content = io.BytesIO()
    Image.fromarray(to_bytes(avatar.portrait(POSTER_SIZE)).numpy()).save(content, "WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"


def _hash(text: str) -> str:
    """What a security policy calls an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
