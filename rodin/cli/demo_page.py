"""A page that shows avatars: HTML with its pictures and files beside it, which opens from the disk without a network.

Each avatar can be turned by dragging: one picture holds its views from all around, and a few lines of script choose
which of them shows. Without scripts it is the view from the front.
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
.avatar { display: grid; gap: 1.2rem 1rem; grid-template-columns: repeat(3, minmax(0, 1fr)); }
.more { display: flex; flex-direction: column; gap: .9rem; }
.avatar > figure:nth-of-type(3) + .more { grid-column: 1 / -1; flex-direction: row; gap: 2rem; }
.more .small { display: grid; gap: .6rem; grid-template-columns: repeat(3, minmax(0, 1fr)); }
.avatar > figure:nth-of-type(3) + .more .small { flex: 0 1 19rem; }
.more .facts { min-width: 0; }
@media (max-width: 52rem) {
  .avatar { grid-template-columns: repeat(auto-fit, minmax(min(100%, 12rem), 1fr)); }
  .avatar > .more, .avatar > figure:nth-of-type(3) + .more { grid-column: 1 / -1; flex-direction: column; gap: .9rem; }
  .avatar > figure:nth-of-type(3) + .more .small { flex: none; }
}
.stage { display: block; width: 100%; aspect-ratio: 1; border: 0; border-radius: 6px;
  background: radial-gradient(circle at 50% 42%, var(--stage) 45%, var(--stage-edge)); }
figure .stage img { width: 100%; height: 100%; object-fit: contain; background: none; border: 0; border-radius: 6px; }
.turning { position: relative; overflow: hidden; cursor: grab; touch-action: pan-y; user-select: none; }
.turning:active { cursor: grabbing; }
.turning:focus-visible { outline: 2px solid var(--faint); outline-offset: 2px; }
figure .turning img { position: absolute; left: 0; top: 0; max-width: none; pointer-events: none; border-radius: 0;
  width: calc(100% * var(--columns)); height: calc(100% * var(--rows)); object-fit: fill; }
.facts { font-size: .92rem; }
.facts p { margin: 0 0 .7rem; }
.facts a { color: inherit; text-decoration-color: var(--faint); text-underline-offset: .18em; white-space: nowrap; }
.facts a:hover { text-decoration-color: currentColor; }
pre { margin: 0; padding: .6rem .8rem; overflow-x: auto; background: var(--card); border: 1px solid var(--line);
  border-radius: 4px; font: .8rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""

# Dragging to the right turns the avatar's face to the right: the camera goes the other way round. Half a turn is as
# long as the view is wide.
SCRIPT = """
for (const view of document.querySelectorAll(".turning")) {
  const count = Number(view.dataset.frames), columns = Number(view.dataset.columns), picture = view.firstElementChild;
  let frame = 0, start = null;
  const show = (wanted) => {
    frame = ((wanted % count) + count) % count;
    const whole = Math.floor(frame), column = whole % columns, row = Math.floor(whole / columns);
    picture.style.left = -100 * column + "%";
    picture.style.top = -100 * row + "%";
    view.setAttribute("aria-valuenow", Math.round(360 * whole / count));
  };
  view.addEventListener("pointerdown", (event) => {
    start = { x: event.clientX, frame };
    view.setPointerCapture(event.pointerId);
  });
  view.addEventListener("pointermove", (event) => {
    if (start) show(start.frame - (event.clientX - start.x) / view.clientWidth * count / 2);
  });
  for (const end of ["pointerup", "pointercancel"]) view.addEventListener(end, () => { start = null; });
  view.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 1, ArrowRight: -1 }[event.key];
    if (step) { show(Math.floor(frame) + step); event.preventDefault(); }
  });
}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A picture beside the page, and what it shows."""

    file: str
    caption: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Turning:
    """A picture of views from all around, row by row: the front first, then equal steps towards the avatar's left."""

    file: str
    frames: int
    columns: int
    caption: str = "drag to turn"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What the page shows of one avatar.

    Args:
        kind: where it comes from, in two or three words.
        title: what it was drawn for.
        large: pictures that deserve room, left of the turning view.
        small: its views from several sides.
        files: labels and names of files to take away.
        command: the command that makes it again.
        note: how long it took, for example.
    """

    kind: str
    title: str
    large: Sequence[Figure]
    turning: Turning
    small: Sequence[Figure]
    files: Sequence[tuple[str, str]]
    command: str
    note: str


def page(title: str, summary: str, entries: Sequence[Entry]) -> str:
    """The page as HTML; every file it names is relative to it."""
    body = "\n".join(_entry(entry) for entry in entries)
    header = f"<header>\n<h1>{escaped(title)}</h1>\n<p>{escaped(summary)}</p>\n</header>"
    return document(title, f"{header}\n{body}\n<script>{SCRIPT}</script>", PAGE_STYLE)


def _entry(entry: Entry) -> str:
    large = "\n".join(map(_figure, entry.large))
    small = "\n".join(map(_figure, entry.small))
    links = " · ".join(f'<a href="{_address(name)}" download>{escaped(label)}</a>' for label, name in entry.files)
    return f"""<article>
<p class="kind">{escaped(entry.kind)}</p>
<h2>{escaped(entry.title)}</h2>
<div class="avatar">
{large}
{_turning(entry.turning, entry.title)}
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


def _turning(turning: Turning, title: str) -> str:
    rows = -(-turning.frames // turning.columns)
    return (
        f'<figure><div class="stage turning" data-frames="{turning.frames}" data-columns="{turning.columns}" '
        f'style="--columns: {turning.columns}; --rows: {rows}" tabindex="0" role="slider" '
        f'aria-label="{escaped(title)}, from all around" aria-valuemin="0" aria-valuemax="359" aria-valuenow="0">'
        f'<img src="{_address(turning.file)}" alt="" draggable="false"></div>'
        f"<figcaption>{escaped(turning.caption)}</figcaption></figure>"
    )


def _address(name: str) -> str:
    return escaped(quote(name))
