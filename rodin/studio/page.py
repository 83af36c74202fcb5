"""The pages that the studio shows: its own, which comes with the package, and that of its API."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

from rodin.studio.guard import NOTHING_LOADS
from rodin.web_page import STYLE, document, escaped

ASSETS = {"studio.js": "text/javascript; charset=utf-8", "studio.css": "text/css; charset=utf-8"}
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
#: A page that was made of an avatar has scripts of its own, which its own policy names; they reach nothing of ours.
DOWNLOAD_POLICY = "sandbox allow-scripts allow-downloads; frame-ancestors 'none'"
OWN_STYLE = "code { font-size: .88em; } h2 { font-size: 1.05rem; margin-top: 2rem; } dt { margin-top: .6rem; }"


def asset(name: str) -> str | None:
    """A file of the page's bundle; None where there is none of that name, or it has not been built."""
    file = files("rodin").joinpath("web", name)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def page_without_bundle() -> str:
    """What is shown where the page has not been built."""
    line = 'The page\'s bundle is missing; build it with: make viewer. The API is there, see <a href="/docs">/docs</a>.'
    return document("Rodin studio", f"<p>{line}</p>", OWN_STYLE)


def api_page(description: dict[str, Any]) -> str:
    """A page of an OpenAPI document, without scripts: every request, what it takes, and what it answers."""
    body = [
        f"<h1>{escaped(description['info']['title'])}</h1>",
        f"<p>{escaped(description['info'].get('description', ''))}</p>",
        '<p class="note">For programs: <a href="/openapi.json">openapi.json</a></p>',
    ]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            body.append(f"<h2><code>{method.upper()} {escaped(path)}</code></h2>")
            body.append(f"<p>{escaped(operation.get('description', operation.get('summary', '')))}</p>")
            takes = [
                f"<dt><code>{escaped(name)}</code></dt><dd>{escaped(what)}</dd>" for name, what in _takes(operation)
            ]
            if takes:
                body.append(f"<dl>{''.join(takes)}</dl>")
            answers = ", ".join(
                f"{code} {_answer(one)}" for code, one in operation["responses"].items() if code < "400"
            )
            body.append(f'<p class="note">Answers {escaped(answers)}</p>')
    body.append("<h1>Documents</h1>")
    for name, schema in sorted(description.get("components", {}).get("schemas", {}).items()):
        body.append(f'<h2 id="{escaped(name)}">{escaped(name)}</h2><p>{escaped(schema.get("description", ""))}</p>')
        body.append(_list([(key, _kind(value)) for key, value in schema.get("properties", {}).items()]))
    return document("Rodin studio: API", "\n".join(body), OWN_STYLE)


def styled_policy() -> str:
    """The security policy of the pages that are written here, which lets in their very style."""
    digest = hashlib.sha256(f"{STYLE}{OWN_STYLE}".encode()).digest()
    return f"{NOTHING_LOADS}; style-src 'sha256-{base64.b64encode(digest).decode()}'"


def _list(entries: list[tuple[str, str]]) -> str:
    rows = (f"<dt><code>{escaped(name)}</code></dt><dd>{escaped(what)}</dd>" for name, what in entries)
    return f"<dl>{''.join(rows)}</dl>" if entries else ""


def _takes(operation: dict[str, Any]) -> list[tuple[str, str]]:
    found = [(one["name"], _kind(one.get("schema", {}))) for one in operation.get("parameters", [])]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        found.append((f"body, {media}", _kind(content.get("schema", {}))))
    return found


def _answer(response: dict[str, Any]) -> str:
    kinds = [f"{media} {_kind(one.get('schema', {}))}".strip() for media, one in response.get("content", {}).items()]
    return " or ".join(kinds) or response.get("description", "")


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "const" in schema:
        return repr(schema["const"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    for name in ("anyOf", "oneOf"):
        if name in schema:
            return " or ".join(_kind(one) for one in schema[name])
    kind = str(schema.get("type", ""))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    bounds = [f"from {schema['minimum']}"] if "minimum" in schema else []
    bounds += [f"to {schema['maximum']}"] if "maximum" in schema else []
    bounds += [f"at most {schema['maxLength']} characters"] if "maxLength" in schema else []
    default = f"; {schema['default']} where it is left out" if schema.get("default") not in (None, {}) else ""
    return " ".join([kind, *bounds]) + default
