"""The look of every page that Rodin writes: HTML that opens from the disk, without a network."""

from __future__ import annotations

import html

STYLE = """
:root { --ink: #1d2126; --faint: #6b737c; --line: #d9dde1; --ground: #fbfbfa; --card: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ea; --faint: #98a1aa; --line: #363c43; --ground: #15181b; --card: #1d2125; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 3rem 1.5rem 6rem; background: var(--ground); color: var(--ink);
  font: 16px/1.55 Charter, "Bitstream Charter", Georgia, "Times New Roman", serif; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.3rem; margin: 3.2rem 0 .6rem; padding-top: 1rem; border-top: 1px solid var(--line); }
p { max-width: 44rem; margin: .6rem 0; }
p.note, figcaption { color: var(--faint); font-size: .86rem; line-height: 1.4; }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums lining-nums; }
th, td { padding: .32rem .9rem .32rem 0; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; }
table.protocol td { text-align: left; }
table.protocol td:first-child { color: var(--faint); white-space: nowrap; }
.gallery { display: grid; gap: 1.1rem 1.2rem; margin: 1.2rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, var(--least)), 1fr)); }
figure { margin: 0; }
figure img { display: block; width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 4px; }
figcaption { margin-top: .35rem; }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A whole page.

    Args:
        title: plain text, of the window.
        body: HTML.
        style: CSS beside that of all pages.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escaped(title)}</title>
<style>{STYLE}{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def escaped(text: str) -> str:
    """Plain text as HTML shows it, in an attribute too."""
    return html.escape(text, quote=True)
