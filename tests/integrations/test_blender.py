"""Contract of the Blender add-on, in the real Blender: what a studio draws stands in the scene; what goes wrong is
one line; Esc takes the drawing back. The studio here speaks the HTTP interface of the real one, and no more."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rodin.avatars.avatar import Avatar
from rodin.avatars.mesh import standing
from rodin.avatars.mesh_files import write_mesh

Blender = Callable[[str], list[Any]]

ADD_ON = Path(__file__).parents[2] / "integrations/blender"
TOKEN = "secret"
PROMPT = 'a "man", with\nümlauts ' + "and hair " * 20

pytestmark = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bpy is not installed")


class Studio(BaseHTTPRequestHandler):
    """Jobs wait, draw twice and are done; prompts that begin with fail do so, and those with wait never end."""

    glb: bytes
    asked: list[tuple[str, str, Any]]
    looks: dict[str, int]

    def do_GET(self) -> None:
        if self.path == f"/?token={TOKEN}":
            self._answer(200, b"", cookie="rodin_token=secret; HttpOnly")
        elif self.server.server_address[1] == self.server.guarded and "rodin_token" not in self.headers.get(
            "Cookie", ""
        ):  # type: ignore[attr-defined]
            self._answer(401, b"")
        elif self.path.startswith("/jobs/"):
            self._answer(200, json.dumps(self._job(self.path.removeprefix("/jobs/"))).encode())
        elif self.path == "/avatars/one.glb":
            self._answer(200, self.glb, "model/gltf-binary")
        else:
            self._answer(404, b'{"error": "no such page"}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(("POST", self.path, body))
        if body["prompt"] == "refuse":
            self._answer(429, b'{"error": "8 jobs wait already; try again in a minute"}')
        else:
            name = body["prompt"].split()[0].strip('"')
            self._answer(202, json.dumps({"job": {"id": name, "kind": "prompt", "state": "waiting"}}).encode())

    def do_DELETE(self) -> None:
        self.asked.append(("DELETE", self.path, None))
        self._answer(200, b"{}")

    def _job(self, name: str) -> dict[str, Any]:
        self.looks[name] = looks = self.looks.get(name, 0) + 1
        done = {"state": "done", "avatars": [{"id": "one", "understood": "understood: man"}], "error": None}
        if name == "fail":
            done = {"state": "failed", "avatars": [], "error": "this prompt is Latin; write English"}
        waits = {"state": "waiting" if looks == 1 else "drawing", "place": 2, "step": looks, "steps": 9, "avatars": []}
        return {"id": name, "kind": "prompt", **(waits if name == "wait" or looks < 3 else done)}

    def _answer(self, code: int, content: bytes, kind: str = "application/json", cookie: str | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if cookie is not None:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def studio(of_materials: Avatar, tmp_path: Path) -> Iterator[type[Studio]]:
    """Two addresses of one studio; the second wants a token."""
    write_mesh(tmp_path / "ball.glb", standing(of_materials.mesh(24, 15.0), 0.3))
    kind = type("OneStudio", (Studio,), {"glb": (tmp_path / "ball.glb").read_bytes(), "asked": [], "looks": {}})
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for _ in range(2)]
    for server in servers:
        server.guarded = servers[1].server_port  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    kind.open, kind.guarded = (f"http://127.0.0.1:{server.server_port}" for server in servers)  # type: ignore[attr-defined]
    yield kind
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def blender(tmp_path: Path) -> Blender:
    """blender(code) -> what it told by `tell`, in a Blender that has the add-on."""
    head = f"""
import json, os, sys
sys.path.insert(0, {str(ADD_ON)!r})
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
import rodin_avatar
told = []
tell = told.append
def draw(**wish):
    try:
        tell(sorted(bpy.ops.rodin.avatar(**wish)))
    except RuntimeError as error:
        tell(str(error).strip())
rodin_avatar.register()
"""
    out = tmp_path / "told.json"
    tail = f"\nopen({str(out)!r}, 'w').write(json.dumps(told))\nsys.stdout.flush()\nos._exit(0)\n"

    def run(code: str) -> list[Any]:
        script = tmp_path / "script.py"
        script.write_text(head + code + tail)
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        found: list[Any] = json.loads(out.read_text())
        return found

    return run


def test_an_avatar_stands_at_the_cursor(studio: Any, blender: Blender) -> None:
    code = f"""
bpy.context.scene.cursor.location = (1.0, 2.0, 3.0)
bpy.ops.mesh.primitive_cube_add()
draw(prompt={PROMPT!r}, seed=5, address={studio.open!r})
for found in bpy.context.selected_objects:
    tell([found.name, list(found.location), list(found.dimensions), len(found.data.materials)])
tell(bpy.context.view_layer.objects.active.name)
panel = bpy.context.scene.rodin_avatar
panel.prompt, panel.seed, panel.address = "panel", 7, {studio.guarded + "/?token=" + TOKEN!r}
draw()
tell(len(bpy.data.objects))
rodin_avatar.unregister()
tell([hasattr(bpy.types.Scene, "rodin_avatar"), hasattr(bpy.types, "RODIN_PT_avatar")])
rodin_avatar.register()
tell(bpy.context.scene.rodin_avatar.prompt)
"""
    ended, *objects, active, again, count, left, back = blender(code)
    assert ended == again == ["FINISHED"]
    ((name, location, dimensions, materials),) = objects
    assert PROMPT.encode().startswith(name.encode())
    assert 40 < len(name) <= 63
    assert name == active
    assert location == [1.0, 2.0, 3.0]
    assert dimensions[2] == pytest.approx(0.3, abs=1e-3), "upright, in metres"
    assert materials >= 1
    assert count == 3
    assert left == [False, False]
    assert back == "panel", "what a scene holds outlives the add-on"
    wishes = [body for method, path, body in studio.asked if (method, path) == ("POST", "/avatars")]
    assert wishes[0] == {"kind": "prompt", "prompt": PROMPT.strip(), "seed": 5}
    assert wishes[1] == {"kind": "prompt", "prompt": "panel", "seed": 7}


def test_what_goes_wrong_is_one_line_and_leaves_the_scene_alone(studio: Any, blender: Blender) -> None:
    code = f"""
draw(prompt="fail", address={studio.open!r})
draw(prompt="refuse", address={studio.open!r})
draw(prompt="  ", address={studio.open!r})
draw(prompt="x", address="ftp://here")
draw(prompt="x", address="http://127.0.0.1:9")
draw(prompt="x", address={studio.guarded!r})
draw(prompt="x", address={studio.guarded!r} + "/?token=wrong")
tell(len(bpy.data.objects))
"""
    *lines, count = blender(code)
    wanted = (
        "Error: this prompt is Latin; write English",
        "Error: 8 jobs wait already; try again in a minute",
        "Error: the prompt is empty; write",
        "Error: 'ftp://here' is no address; give",
        "Error: no studio answers at http://127.0.0.1:9; start one with: rodin studio",
        "Error: the studio wants its token; give the whole address",
        "Error: the studio wants its token; give the whole address",
    )
    for line, start in zip(lines, wanted, strict=True):
        assert isinstance(line, str)
        assert line.startswith(start)
        assert "\n" not in line
    assert count == 0


def test_it_draws_beside_the_person_and_esc_takes_it_back(studio: Any, blender: Blender) -> None:
    """Blender as a module has no loop of events: they are handed to the operator's own functions here."""
    code = f"""
import time
from types import SimpleNamespace
real = rodin_avatar.RODIN_OT_avatar
names = ("invoke", "modal", "_begin", "_work", "_note", "_end", "_say")
class Held(*[type("Same", (), {{name: real.__dict__[name] for name in names}})]):
    def __init__(self, **wish):
        self.__dict__.update(wish)
        self.properties = SimpleNamespace(is_property_set=wish.__contains__)
    def report(self, kind, text):
        tell([sorted(kind), text])
shown = []
window_manager = SimpleNamespace(
    event_timer_add=lambda *_, **__: "timer", event_timer_remove=tell, modal_handler_add=lambda _: None
)
context = SimpleNamespace(
    scene=bpy.context.scene, selected_objects=[], view_layer=bpy.context.view_layer, window=None,
    window_manager=window_manager, workspace=SimpleNamespace(status_text_set=shown.append),
)
def run(prompt, esc):
    held = Held(prompt=prompt, seed=1, address={studio.open!r})
    state = held.invoke(context, None)
    while state & {{"RUNNING_MODAL", "PASS_THROUGH"}}:
        if esc and any("drawing, step" in str(text) for text in shown):
            held.modal(context, SimpleNamespace(type="ESC"))
        state = held.modal(context, SimpleNamespace(type="TIMER"))
        time.sleep(0.02)
    tell(sorted(state))
    tell(len(bpy.data.objects))
run("man", False)
tell([text for text in shown if text])
shown.clear()
run("wait", True)
tell(shown[-1])
"""
    timer, said, ended, count, shown, timer_again, given_up, still, last = blender(code)
    assert timer == timer_again == "timer"
    assert said == [["INFO"], "understood: man"]
    assert (ended, count) == (["FINISHED"], 1)
    assert any("waiting, place 3" in text for text in shown)
    assert any("drawing, step 2 of 9" in text for text in shown)
    assert (given_up, still, last) == (["CANCELLED"], 1, None)
    assert ("DELETE", "/jobs/wait", None) in studio.asked
