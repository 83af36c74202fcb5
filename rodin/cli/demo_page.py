"""A page that shows avatars: HTML with its pictures and files beside it, which opens from the disk without a network.

Each avatar turns, and changes colour, in a page of its own (`rodin.avatars.html_file`), which is framed here and loaded
when it comes into sight. This page has no script.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from rodin.web_page import document, escaped

PAGE_STYLE = """
:root { --stage: #eceef0; --stage-edge: #dfe2e5; }
@media (prefers-color-scheme: dark) { :root { --stage: #454c54; --stage-edge: #333940; } }
header p { font-size: 1.06rem; }
article { margin: 3.2rem 0 0; padding: 1.6rem 0 0; border-top: 1px solid var(--line); }
article h2 { margin: 0 0 1.1rem; padding: 0; border: 0; font-size: 1.5rem; line-height: 1.3; font-weight: 400; }
.kind { margin: 0 0 .25rem; color: var(--faint); font-size: .82rem; letter-spacing: .06em; }
.viewer { display: block; width: calc(100% + 2.5rem); height: 38rem; margin: 0 -1.25rem 1rem; border: 0; }
.viewer.plain { height: 30rem; }
.avatar { display: grid; gap: 1.2rem 1rem; grid-template-columns: repeat(3, minmax(0, 1fr)); }
.more { display: flex; flex-direction: column; gap: .9rem; }
.avatar > figure:only-of-type + .more { grid-column: span 2; }
.more .small { display: grid; gap: .6rem; grid-template-columns: repeat(3, minmax(0, 1fr)); }
.more .facts { min-width: 0; }
@media (max-width: 52rem) {
  .avatar { grid-template-columns: repeat(auto-fit, minmax(min(100%, 12rem), 1fr)); }
  .avatar > .more, .avatar > figure:only-of-type + .more { grid-column: 1 / -1; }
}
@media (max-width: 46rem) { .viewer { height: 58rem; } .viewer.plain { height: 36rem; } }
.stage { display: block; width: 100%; aspect-ratio: 1; border: 0; border-radius: 6px;
  background: radial-gradient(circle at 50% 42%, var(--stage) 45%, var(--stage-edge)); }
figure .stage img { width: 100%; height: 100%; object-fit: contain; background: none; border: 0; border-radius: 6px; }
.facts { font-size: .92rem; }
.facts p { margin: 0 0 .7rem; }
.facts a { color: inherit; text-decoration-color: var(--faint); text-underline-offset: .18em; white-space: nowrap; }
.facts a:hover { text-decoration-color: currentColor; }
pre { margin: 0; padding: .6rem .8rem; overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 4px; font: .8rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A picture beside the page, and what it shows."""

    file: str
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What the page shows of one avatar.

    Args:
        kind: where it comes from, in two or three words.
        title: what it was drawn for.
        viewer: name of its own page.
        recolours: whether that has colour wheels.
        large: pictures that deserve room.
        small: its views from several sides.
        files: labels and names of files to take away.
        command: the command that makes it again.
        note: how long it took, for example.
    """

    kind: str
    title: str
    viewer: str
    recolours: bool
    large: Sequence[Figure]
    small: Sequence[Figure]
    files: Sequence[tuple[str, str]]
    command: str
    note: str


def page(title: str, summary: str, entries: Sequence[Entry]) -> str:
    """The page as HTML; every file it names is relative to it."""
    body = "\n".join(_entry(entry) for entry in entries)
    header = f"<header>\n<h1>{escaped(title)}</h1>\n<p>{escaped(summary)}</p>\n</header>"
    return document(title, f"{header}\n{body}", PAGE_STYLE)


def _entry(entry: Entry) -> str:
    large = "\n".join(map(_figure, entry.large))
    small = "\n".join(map(_figure, entry.small))
    links = " · ".join(f'<a href="{_address(name)}" download>{escaped(label)}</a>' for label, name in entry.files)
    return f"""<article>
<p class="kind">{escaped(entry.kind)}</p>
<h2>{escaped(entry.title)}</h2>
{_viewer(entry)}
<div class="avatar">
{large}
<div class="more">
<div class="small">
{small}
</div>
<div class="facts">
<p class="note">{escaped(entry.note)}</p>
<p>{links}</p>
<pre>{escaped(entry.command)}</pre>
</div>
</div>
</div>
</article>"""


def _figure(figure: Figure) -> str:
    picture = f'<img src="{_address(figure.file)}" alt="{escaped(figure.caption)}">'
    return f'<figure><span class="stage">{picture}</span><figcaption>{escaped(figure.caption)}</figcaption></figure>'


def _viewer(entry: Entry) -> str:
    size = "viewer" if entry.recolours else "viewer plain"
    return (
        f'<iframe class="{size}" src="{_address(entry.viewer)}" title="{escaped(entry.title)}: turn it" '
        f'loading="lazy" sandbox="allow-scripts allow-downloads"></iframe>'
    )


def _address(name: str) -> str:
    return escaped(quote(name))
