"""Rodin avatars in Blender 4.2 or newer: the panel "Rodin avatar" in the sidebar of the 3D view.

Install it by Edit > Preferences > Add-ons > Install from Disk, and start `rodin studio`. The add-on sends the prompt to
that server, waits, and imports the mesh at the 3D cursor. Nothing but Python's own library is needed, and no other
machine is spoken to than the one whose address is given.

From a script: bpy.ops.rodin.avatar(prompt="an old man with a white beard", seed=1)
"""

import json
import tempfile
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

import bpy

bl_info = {
    "name": "Rodin avatar",
    "description": "Draws 3D avatars from words with a local Rodin studio, and imports them",
    "author": "Rodin contributors",
    "version": (0, 1, 0),
    "blender": (4, 2, 0),
    "location": "View3D > Sidebar > Rodin",
    "category": "Import-Export",
}

ADDRESS = "http://127.0.0.1:8000"  # where `rodin studio` listens unless it is told otherwise
LARGEST_SEED = 2**30 - 1
SECONDS_BETWEEN_LOOKS = 0.3
SECONDS_TO_ANSWER = 120.0  # the mesh is made while its request waits
LONGEST_NAME = 60  # of an object, in bytes; Blender has 63

Progress = Callable[[str], None]


class StudioError(Exception):
    """One line that says what went wrong and what to do."""


class Cancelled(Exception):
    """The person does not want the avatar any more."""


# ---- the studio, without Blender


class Studio:
    """A running `rodin studio`.

    Args:
        address: as the studio printed it; with its token, if it has one: http://192.168.0.5:8000/?token=...
    """

    def __init__(self, address: str) -> None:
        parts = urlsplit(address.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise StudioError(f"{address!r} is no address; give the one that rodin studio printed, such as {ADDRESS}")
        self.root = f"{parts.scheme}://{parts.netloc}"
        self._first = f"/?{parts.query}" if parts.query else None  # tells the token once; then a cookie does
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()), ProxyHandler({}))

    def draw(self, prompt: str, seed: int, progress: Progress, unwanted: Callable[[], bool]) -> tuple[bytes, str]:
        """Draw an avatar and wait for it.

        Args:
            progress: told in a few words how far it is.
            unwanted: asked between looks whether to give up.

        Returns:
            its mesh as GLB, and what was understood of the prompt.

        Raises:
            StudioError: the studio cannot be reached, or refuses, or fails.
            Cancelled: `unwanted` said so; the job is taken back.
        """
        if self._first is not None:
            self._ask("GET", self._first)
        told = self._json("POST", "/avatars", {"kind": "prompt", "prompt": prompt, "seed": seed})["job"]
        job = told["id"] if isinstance(told, dict) else told  # the whole job, or its id alone
        while True:
            state = self._json("GET", f"/jobs/{job}")
            if state["state"] == "done":
                break
            if state["state"] in ("failed", "cancelled"):
                raise StudioError(state.get("error") or f"the studio says that the drawing was {state['state']}")
            if unwanted():
                self._ask("DELETE", f"/jobs/{job}")
                raise Cancelled
            progress(progress_of(state))
            time.sleep(SECONDS_BETWEEN_LOOKS)
        avatar = state["avatars"][0]
        progress("fetching the mesh")
        return self._ask("GET", f"/avatars/{avatar['id']}.glb"), avatar.get("understood") or ""

    def _json(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = self._ask(method, path, None if body is None else json.dumps(body).encode())
        try:
            found = json.loads(answer)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise StudioError(f"{self.root} does not answer as a studio does; check the address")
        return found

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {} if body is None else {"Content-Type": "application/json"}
        request = Request(self.root + path, data=body, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=SECONDS_TO_ANSWER) as answer:
                content: bytes = answer.read()
                return content
        except HTTPError as error:
            raise StudioError(reason_of(error)) from error
        except OSError as error:
            raise StudioError(f"no studio answers at {self.root}; start one with: rodin studio") from error
        except HTTPException as error:
            raise StudioError(f"{self.root} does not answer as a studio does ({error}); check the address") from error


def reason_of(error: HTTPError) -> str:
    """The line that an error answer holds, else what its code means."""
    try:
        line = json.loads(error.read())["error"]
    except (ValueError, KeyError, TypeError, OSError):
        line = None
    if isinstance(line, str) and line:
        return line
    if error.code == 401:
        return "the studio wants its token; give the whole address that it printed"
    return f"the studio answered {error.code} {error.reason}; check the address"


def progress_of(state: dict[str, Any]) -> str:
    """What a job's state says, in a few words."""
    if state["state"] == "waiting":
        return f"waiting, place {state.get('place', 0) + 1}"
    return f"drawing, step {state.get('step', 0)} of {state.get('steps', 0)}"


# ---- Blender


def import_glb(context: bpy.types.Context, glb: bytes, name: str) -> list[bpy.types.Object]:
    """Import a mesh at the 3D cursor, name it, and select it alone."""
    for other in context.selected_objects:
        other.select_set(False)
    before = set(bpy.data.objects)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "avatar.glb"
        path.write_bytes(glb)
        bpy.ops.import_scene.gltf(filepath=str(path))
    new = [found for found in bpy.data.objects if found not in before]
    for found in new:
        if found.parent is None:
            found.name = name.encode()[:LONGEST_NAME].decode(errors="ignore")
            found.location = context.scene.cursor.location
            context.view_layer.objects.active = found
        found.select_set(True)
    return new


class RODIN_OT_avatar(bpy.types.Operator):
    """Draw an avatar with the Rodin studio and import it at the 3D cursor. Esc gives up"""

    bl_idname = "rodin.avatar"
    bl_label = "Draw avatar"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012  Blender wants a set

    prompt: bpy.props.StringProperty(name="Prompt", options={"SKIP_SAVE"})  # type: ignore[valid-type]
    seed: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Seed", min=0, max=LARGEST_SEED, options={"SKIP_SAVE"}
    )
    address: bpy.props.StringProperty(name="Address", options={"SKIP_SAVE"})  # type: ignore[valid-type]

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Draw and import, and come back when both are done."""
        self._begin(context)
        self._work()
        return self._end(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Draw while the person goes on working; `modal` looks after it."""
        self._begin(context)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._timer = context.window_manager.event_timer_add(SECONDS_BETWEEN_LOOKS, window=context.window)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            self._unwanted.set()
        if event.type == "TIMER":
            self._say(context, "Rodin: giving up" if self._unwanted.is_set() else f"Rodin: {self._progress}")
            if not self._thread.is_alive():
                context.window_manager.event_timer_remove(self._timer)
                self._say(context, None)
                return self._end(context)
        return {"PASS_THROUGH"}

    def _begin(self, context: bpy.types.Context) -> None:
        """Take what the panel says where the caller says nothing."""
        panel = context.scene.rodin_avatar
        given = self.properties.is_property_set
        self._wish = (
            self.address if given("address") else panel.address,
            (self.prompt if given("prompt") else panel.prompt).strip(),
            self.seed if given("seed") else panel.seed,
        )
        self._unwanted = threading.Event()
        self._progress = "starting"
        self._glb: bytes | None = None
        self._understood, self._problem = "", ""

    def _work(self) -> None:
        """Speak with the studio; touches nothing of Blender's, so that a thread may do it."""
        address, prompt, seed = self._wish
        try:
            if not prompt:
                raise StudioError("the prompt is empty; write what the avatar looks like")
            self._glb, self._understood = Studio(address).draw(prompt, seed, self._note, self._unwanted.is_set)
        except StudioError as error:
            self._problem = str(error)
        except Cancelled:
            pass
        except Exception as error:  # a thread's error would be lost
            self._problem = f"{type(error).__name__}: {error}"

    def _note(self, progress: str) -> None:
        self._progress = progress

    def _end(self, context: bpy.types.Context) -> set[str]:
        if self._glb is None:
            if self._problem:
                self.report({"ERROR"}, self._problem)
            return {"CANCELLED"}
        try:
            import_glb(context, self._glb, self._wish[1])
        except RuntimeError as error:  # what operators raise
            self.report({"ERROR"}, f"the mesh cannot be imported: {error}")
            return {"CANCELLED"}
        self.report({"INFO"}, self._understood or "the avatar is here")
        return {"FINISHED"}

    @staticmethod
    def _say(context: bpy.types.Context, text: str | None) -> None:
        context.workspace.status_text_set(text)


class RODIN_PG_avatar(bpy.types.PropertyGroup):
    """What the panel holds."""

    prompt: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Prompt",
        description="What the avatar looks like, in English",
        default="an old man with a white beard",
    )
    seed: bpy.props.IntProperty(  # type: ignore[valid-type]
        name="Seed", description="Another number draws another person", default=0, min=0, max=LARGEST_SEED
    )
    address: bpy.props.StringProperty(  # type: ignore[valid-type]
        name="Studio", description="The address that rodin studio printed", default=ADDRESS
    )


class RODIN_PT_avatar(bpy.types.Panel):
    bl_label = "Rodin avatar"
    bl_idname = "RODIN_PT_avatar"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Rodin"

    def draw(self, context: bpy.types.Context) -> None:
        values = context.scene.rodin_avatar
        column = self.layout.column()
        column.prop(values, "prompt")
        column.prop(values, "seed")
        column.prop(values, "address")
        column.operator(RODIN_OT_avatar.bl_idname, icon="USER")


CLASSES = (RODIN_PG_avatar, RODIN_OT_avatar, RODIN_PT_avatar)


def register() -> None:
    for known in CLASSES:
        bpy.utils.register_class(known)
    bpy.types.Scene.rodin_avatar = bpy.props.PointerProperty(type=RODIN_PG_avatar)


def unregister() -> None:
    del bpy.types.Scene.rodin_avatar
    for known in reversed(CLASSES):
        bpy.utils.unregister_class(known)


if __name__ == "__main__":
    register()
