"""Contract of the studio's API, by the real server and a real model: avatars are drawn, followed, cancelled, changed,
taken away and found again; each person has their own; what is refused is said in a line."""

from __future__ import annotations

import io
import json
import re
import socket
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut

from rodin.avatars.avatar import Avatar
from rodin.avatars.mesh import simplify_mesh
from rodin.images import to_bytes

Person = Served = Any  # see conftest.py
QUICK = {"steps": 3, "upsampling_steps": 1}
DRAWN = ("prompt", "kind", "seed", "parent", "edit", "sampling")


def load(content: bytes, tmp_path: Path) -> Avatar:
    path = tmp_path / "a.rodin.safetensors"
    path.write_bytes(content)
    return Avatar.load(path)


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Person, str], Avatar]:
    """fetched(person, id): an avatar, by its file."""
    return lambda person, name: load(
        person.ask("GET", f"/avatars/{name}.safetensors").content, tmp_path_factory.mktemp("avatar")
    )


@pytest.fixture
def drawn(person: Person) -> Any:
    """An avatar of that person, for words."""
    asked = {"kind": "prompt", "prompt": "a man with red hair", "seed": 3, "sampling": QUICK}
    return person.draw("/avatars", asked)["avatars"][0]


# ---- drawing


def test_words_become_an_avatar_step_by_step(person: Person) -> None:
    job = person.start("/avatars", {"kind": "prompt", "prompt": "a man with red hair", "seed": 3, "sampling": QUICK})
    told = person.follow(job)
    assert told[-1]["state"] == "done"
    assert (told[-1]["step"], told[-1]["steps"]) == (4, 4)
    steps = [one["step"] for one in told]
    assert steps == sorted(steps)
    (avatar,) = told[-1]["avatars"]
    assert avatar["prompt"] == "a man with red hair"
    assert avatar["understood"] == "understood: man, red hair"
    assert {one["attribute"] for one in avatar["drawn"]} >= {"skin", "top"}
    assert (avatar["seed"], avatar["kind"], avatar["parent"]) == (3, "prompt", None)
    assert avatar["sampling"]["steps"] == 3
    preview = person.ask("GET", told[-1]["preview"])
    assert pixels(preview.content).shape == (128, 128, 4)
    for link in avatar["links"].values():
        assert person.ask("GET", link).status == 200
    assert person.get(f"/avatars/{avatar['id']}") == avatar
    assert person.get("/avatars") == {"avatars": [avatar], "next": None}


def test_the_same_words_and_seed_are_the_same_avatar(
    person: Person, drawn: Any, pipe: Any, fetched: Callable[[Person, str], Avatar]
) -> None:
    from rodin.avatars.drawing import Sampling

    mine = pipe("a man with red hair", seed=3, sampling=Sampling(**QUICK))[0]
    assert torch.equal(fetched(person, drawn["id"]).planes, mine.planes), "as the commands draw it"


def test_a_strip_of_surprises_of_which_one_is_drawn_again(
    person: Person, pipe: Any, fetched: Callable[[Person, str], Avatar]
) -> None:
    strip = person.draw("/avatars", {"kind": "surprise", "count": 8, "seed": 5})
    assert [one["seed"] for one in strip["avatars"]] == list(range(5, 13))
    draft = person.get("/model")["draft"]
    assert strip["avatars"][0]["sampling"]["steps"] == draft["steps"] < person.get("/model")["defaults"]["steps"]
    assert pixels(person.ask("GET", strip["preview"]).content).shape == (128, 8 * 128, 4)
    picked = strip["avatars"][6]
    (refined,) = person.draw("/avatars", {"kind": "again", "avatar": picked["id"]})["avatars"]
    assert (refined["seed"], refined["parent"]) == (11, picked["id"])
    before, after = (fetched(person, one["id"]) for one in (picked, refined))
    assert torch.equal(before.latent, after.latent)
    assert torch.equal(before.noise, after.noise)
    assert torch.equal(after.planes, pipe(seed=11)[0].planes), "as if it had been drawn so at once"


def test_variations_share_their_latent(person: Person, drawn: Any, fetched: Callable[[Person, str], Avatar]) -> None:
    varied = person.draw("/avatars", {"kind": "vary", "avatar": drawn["id"], "count": 2, "seed": 9})["avatars"]
    ours, *theirs = (fetched(person, one["id"]) for one in (drawn, *varied))
    assert {one["parent"] for one in varied} == {drawn["id"]}
    for one in theirs:
        assert torch.equal(one.latent, ours.latent)
        assert not torch.equal(one.planes, ours.planes)
    assert [one["sampling"] for one in varied] == [drawn["sampling"]] * 2, "drawn as the first was"


def test_a_mix_goes_from_one_to_the_other(
    person: Person, drawn: Any, pipe: Any, fetched: Callable[[Person, str], Avatar]
) -> None:
    other = person.draw("/avatars", {"kind": "surprise", "seed": 4, "sampling": QUICK})["avatars"][0]
    ends = [fetched(person, one["id"]) for one in (drawn, other)]
    asked = {"kind": "mix", "first": drawn["id"], "second": other["id"]}
    for part in (0, 0.5, 1.0):
        (mixed,) = person.draw("/avatars", {**asked, "part": part})["avatars"]
        found = fetched(person, mixed["id"])
        if part in (0, 1):
            assert torch.equal(found.planes, ends[int(part)].planes)
        else:
            middle = pipe.interpolate(*ends, steps=3)[1]
            torch.testing.assert_close(found.planes, middle.planes, atol=1e-2, rtol=1e-2)


def test_an_edit_changes_what_words_and_colours_name(
    person: Person, drawn: Any, pipe: Any, fetched: Callable[[Person, str], Avatar]
) -> None:
    asked = {"prompt": "a hat", "colours": {"top": "#102030"}, "strength": 1.5}
    (edited,) = person.draw(f"/avatars/{drawn['id']}/edits", asked)["avatars"]
    assert (edited["parent"], edited["edit"]) == (drawn["id"], "a hat; top #102030")
    assert edited["palette"]["top"] == "#102030"
    wanted = pipe.edit(fetched(person, drawn["id"]), "a hat", strength=1.5)
    assert torch.equal(fetched(person, edited["id"]).planes, wanted.planes)


def test_colours_alone_are_there_at_once(served: Served, person: Person, drawn: Any) -> None:
    with served.busy():
        job = person.start(f"/avatars/{drawn['id']}/edits", {"colours": {"hair": "#ff0000"}})
        assert job["state"] == "done"
        answer = person.ask("POST", f"/avatars/{drawn['id']}/colours", {"colours": {"hair": "#ff0000"}})
        avatar = answer.json()
    for one in (job["avatars"][0], avatar):
        assert one["palette"] == {**drawn["palette"], "hair": "#ff0000"}
        assert (one["parent"], one["kind"], one["edit"]) == (drawn["id"], "colours", "hair #ff0000")
    assert person.get(f"/avatars/{drawn['id']}") == drawn, "the first stays as it was"


def test_a_portrait_is_followed_as_it_was_corrected(
    person: Person, pipe: Any, fetched: Callable[[Person, str], Avatar]
) -> None:
    from rodin.avatars.drawing import Sampling
    from rodin.avatars.portrait import Portrait

    content = io.BytesIO()
    Image.fromarray(astronaut()).save(content, "JPEG")
    answer = person.ask("POST", "/portraits", content.getvalue(), Content_Type="image/jpeg")
    assert answer.status == 201
    portrait = answer.json()
    assert portrait["matte"] == {"good": True, "remark": ""}
    assert pixels(person.ask("GET", portrait["picture"]).content).shape == (512, 512, 4)
    assert pixels(person.ask("GET", portrait["matte_url"]).content).shape == (512, 512)
    crop = {**portrait["crop"], "left": portrait["crop"]["left"] + 5}
    corrected = person.ask("PUT", f"/portraits/{portrait['id']}/crop", crop).json()
    assert corrected["crop"] == crop
    white = io.BytesIO()
    Image.new("L", (512, 512), 255).save(white, "PNG")
    path = f"/portraits/{portrait['id']}/matte"
    assert person.ask("PUT", path, white.getvalue(), Content_Type="image/png").status == 200
    framed = pixels(person.ask("GET", portrait["framed"]).content)
    assert framed.shape == (crop["size"], crop["size"], 4)
    asked = {"kind": "portrait", "portrait": portrait["id"], "seed": 2, "sampling": QUICK}
    (avatar,) = person.draw("/avatars", asked)["avatars"]
    seen = Portrait(torch.from_numpy(framed.copy()).float() / 255, "")
    mine = pipe(image=seen, seed=2, sampling=Sampling(**QUICK))[0]
    torch.testing.assert_close(fetched(person, avatar["id"]).latent, mine.latent, atol=1e-2, rtol=0)


def test_a_portrait_is_refined_with_all_its_steps_told(person: Person) -> None:
    content = (Path(__file__).parents[2] / "examples" / "portrait.webp").read_bytes()
    portrait = person.ask("POST", "/portraits", content, Content_Type="image/webp").json()
    asked = {"kind": "portrait", "portrait": portrait["id"], "refine": 4, "sampling": QUICK}
    told = person.follow(person.start("/avatars", asked))
    assert told[-1]["state"] == "done"
    assert told[-1]["step"] >= 3 + 4
    assert told[-1]["step"] <= told[-1]["steps"]


# ---- jobs


def test_eight_people_at_once_are_served_in_turn_and_each_sees_a_place(served: Served) -> None:
    people = [served.person() for _ in range(8)]
    asked = {"kind": "surprise", "sampling": {"steps": 1, "upsampling_steps": 1}}
    with served.busy():
        jobs = [person.start("/avatars", asked) for person in people]
        assert [job["place"] for job in jobs] == list(range(1, 9)), "behind the one in progress"
        second = people[0].start("/avatars", asked)
        assert second["place"] == 9
        late = served.person().start("/avatars", asked)
        assert late["place"] == 9, "before anybody's second"
        assert people[0].get(f"/jobs/{second['id']}")["place"] == 10
    ends: dict[int, Any] = {}

    def follow(k: int) -> None:
        ends[k] = people[k].follow(jobs[k])

    threads = [threading.Thread(target=follow, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ends[k][-1]["state"] for k in range(8)] == ["done"] * 8
    for told in ends.values():
        places = [one["place"] for one in told]
        assert places == sorted(places, reverse=True), "nobody is overtaken"
    created = [ends[k][-1]["avatars"][0]["created"] for k in range(8)]
    assert created == sorted(created)
    assert [len(person.get("/avatars")["avatars"]) for person in people[1:]] == [1] * 7


def test_the_queue_says_when_it_is_full(served: Served) -> None:
    greedy, modest = served.person(), served.person()
    asked = {"kind": "surprise", "sampling": {"steps": 1, "upsampling_steps": 1}}
    with served.busy():
        most = served.studio.limits.queue_each
        taken = [greedy.ask("POST", "/avatars", asked).status for _ in range(most + 1)]
        assert taken == [202] * most + [429]
        assert modest.ask("POST", "/avatars", asked).status == 202
        for person in (greedy, modest):
            for job in list(served.studio.queue._jobs.values()):
                if job.person == person.name:
                    assert person.ask("DELETE", f"/jobs/{job.id}").json()["state"] == "cancelled"


def test_cancelling_ends_between_two_steps(served: Served, person: Person) -> None:
    reached, go_on = threading.Event(), threading.Event()
    preview = served.studio.pipe.preview

    def held(step: Any, size: int) -> list[Any]:
        reached.set()
        go_on.wait()
        return preview(step, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served.studio.pipe, "preview", held)
        job = person.start("/avatars", {"kind": "surprise", "sampling": {"steps": 50}})
        reached.wait()
        assert person.get(f"/jobs/{job['id']}")["state"] == "drawing"
        assert served.person().ask("DELETE", f"/jobs/{job['id']}").status == 403, "it is not theirs"
        assert person.ask("DELETE", f"/jobs/{job['id']}").status == 200
        go_on.set()
        end = person.follow(job)[-1]
    assert end["state"] == "cancelled"
    assert end["step"] <= 1
    assert person.get("/avatars")["avatars"] == []
    person.draw("/avatars", {"kind": "surprise", "sampling": QUICK})  # the next is served


def test_who_comes_back_is_told_what_is_new_alone(person: Person) -> None:
    job = person.start("/avatars", {"kind": "surprise", "sampling": QUICK})
    text = person.ask("GET", f"/jobs/{job['id']}/events").content.decode()
    ids = re.findall(r"^id: (\w+)$", text, re.MULTILINE)
    assert text.count("event: job\n") == len(ids) == len(set(ids))
    again = person.ask("GET", f"/jobs/{job['id']}/events", Last_Event_ID=ids[0])
    assert again.content.decode().count("event: job") == 1
    assert person.ask("GET", f"/jobs/{job['id']}/events", Last_Event_ID=ids[-1]).status == 204, "come back no more"


# ---- the history


def test_it_survives_a_restart(serve: Any, tmp_path: Path, of_materials: Avatar) -> None:
    with serve(tmp_path / "studio") as first:
        person = first.person()
        first.give(person, of_materials)
        before = person.get("/avatars")
        picture = person.ask("GET", before["avatars"][0]["links"]["picture"]).content
    with serve(tmp_path / "studio") as second:
        person.address = second.address
        assert person.get("/avatars") == before
        assert person.ask("GET", before["avatars"][0]["links"]["picture"]).content == picture
        assert second.person().get("/avatars")["avatars"] == []


def test_a_long_history_comes_in_pieces(serve: Any, tmp_path: Path, of_materials: Avatar) -> None:
    with serve(tmp_path / "studio") as served, pytest.MonkeyPatch.context() as patch:
        patch.setattr("rodin.studio.routes.avatars.HISTORY_PAGE", 2)
        person = served.person()
        given = [served.give(person, of_materials) for _ in range(5)]
        found, after = [], ""
        for _ in range(3):
            piece = person.get(f"/avatars{after}")
            found += [one["id"] for one in piece["avatars"]]
            after = f"?after={piece['next']}"
        assert found == given[::-1]
        assert piece["next"] is None


def test_a_link_is_enough_to_look_and_not_to_delete(served: Served, of_materials: Avatar) -> None:
    owner, friend = served.person(), served.person()
    name = served.give(owner, of_materials)
    assert friend.get("/avatars")["avatars"] == []
    assert friend.get(f"/avatars/{name}")["id"] == name
    assert friend.ask("GET", f"/avatars/{name}.png").status == 200
    assert friend.ask("DELETE", f"/avatars/{name}").status == 403
    mine = friend.ask("POST", f"/avatars/{name}/colours", {"colours": {"hair": "#00ff00"}}).json()
    assert [one["id"] for one in friend.get("/avatars")["avatars"]] == [mine["id"]]
    assert owner.ask("DELETE", f"/avatars/{name}").status == 204
    assert owner.ask("GET", f"/avatars/{name}.png").status == 404
    assert owner.ask("DELETE", f"/avatars/{name}").status == 404
    assert "owner" not in json.dumps(mine)


def test_a_full_history_takes_no_more(serve: Any, tmp_path: Path, of_materials: Avatar) -> None:
    from rodin.studio.limits import Limits

    with serve(tmp_path / "studio", Limits(avatars=1)) as served:
        person = served.person()
        name = served.give(person, of_materials)
        answer = person.ask("POST", "/avatars", {"kind": "surprise"})
        assert (answer.status, answer.json()["error"]) == (400, "the history is full (1 avatars); delete some")
        assert person.ask("POST", f"/avatars/{name}/colours", {"colours": {"hair": "#00ff00"}}).status == 400


def test_another_models_avatar_is_shown_and_not_changed(served: Served, person: Person, of_materials: Avatar) -> None:
    name = served.give(person, of_materials)
    for path, body in (
        (f"/avatars/{name}/edits", {"prompt": "a hat"}),
        ("/avatars", {"kind": "vary", "avatar": name}),
        ("/avatars", {"kind": "again", "avatar": name}),
        ("/avatars", {"kind": "mix", "first": name, "second": name, "part": 0.5}),
    ):
        answer = person.ask("POST", path, body)
        assert answer.status == 400
        assert "another model drew it" in answer.json()["error"]


# ---- files

FORMATS = {
    "glb": (b"glTF", "model/gltf-binary"),
    "ply": (b"ply\n", "application/octet-stream"),
    "obj": (b"PK", "application/zip"),
    "gif": (b"GIF89a", "image/gif"),
    "webp": (b"RIFF", "image/webp"),
    "html": (b"<!doctype html>", "text/html; charset=utf-8"),
    "stl": (b"", "model/stl"),
    "usdz": (b"PK", "model/vnd.usdz+zip"),
}


@pytest.fixture(scope="module")
def ball(served: Served, of_materials: Avatar) -> tuple[Person, str]:
    """A person with a ball that is known exactly."""
    person = served.person()
    return person, served.give(person, of_materials)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_what_it_says(ball: tuple[Person, str], kind: str) -> None:
    if kind == "usdz":
        pytest.importorskip("xatlas")
    person, name = ball
    small = {"gif": "&size=32", "webp": "&size=32", "usdz": "&faces=300&texture=64"}.get(kind, "")
    answer = person.ask("GET", f"/avatars/{name}.{kind}?download=1{small}")
    magic, media = FORMATS[kind]
    assert answer.status == 200
    assert answer.content.startswith(magic)
    assert answer.headers["Content-Type"] == media
    suffix = "zip" if kind == "obj" else kind
    assert re.fullmatch(rf'attachment; filename="rodin-[\w-]{{8}}\.{suffix}"', answer.headers["Content-Disposition"])


def test_a_mesh_has_the_faces_and_height_that_are_asked_for(ball: tuple[Person, str]) -> None:
    person, name = ball
    content = person.ask("GET", f"/avatars/{name}.stl?faces=500&height=120").content
    (count,) = struct.unpack("<I", content[80:84])
    assert count <= 500
    corners = np.frombuffer(content[84:], dtype=np.dtype([("n", "<3f4"), ("v", "<9f4"), ("a", "<u2")]))["v"]
    heights = corners.reshape(-1, 3)[:, 1]
    assert heights.max() - heights.min() == pytest.approx(120, rel=1e-3)


def test_lamps_light_a_mesh_where_that_is_asked_for(ball: tuple[Person, str]) -> None:
    person, name = ball
    plain, lit = (person.ask("GET", f"/avatars/{name}.glb?faces=300{more}").content for more in ("", "&lit=true"))
    assert b"KHR_materials_unlit" in plain
    assert b"KHR_materials_unlit" not in lit
    answer = person.ask("GET", f"/avatars/{name}.ply?lit=true")
    assert answer.status == 400
    assert answer.json()["error"] == "lit: ply files have none; leave it out, or choose glb, usdz"


def test_an_obj_comes_with_its_materials_and_its_texture(ball: tuple[Person, str]) -> None:
    pytest.importorskip("xatlas")
    person, name = ball
    plain, textured = (
        zipfile.ZipFile(io.BytesIO(person.ask("GET", f"/avatars/{name}.obj?faces=400{more}").content))
        for more in ("", "&texture=64")
    )
    assert set(plain.namelist()) == {"avatar.obj", "avatar.mtl"}
    assert set(textured.namelist()) == {"avatar.obj", "avatar.mtl", "avatar.png"}
    assert b"mtllib avatar.mtl" in textured.read("avatar.obj")


def test_a_picture_is_the_render(ball: tuple[Person, str], of_materials: Avatar) -> None:
    from rodin.camera import camera_at

    person, name = ball
    seen = pixels(person.ask("GET", f"/avatars/{name}.png?size=64&azimuth=40&elevation=10").content)
    wanted = to_bytes(of_materials.render(camera_at(40, 10, size=64))).numpy()
    assert np.abs(seen.astype(int) - wanted).max() <= 1
    red = pixels(person.ask("GET", f"/avatars/{name}.png?size=64&background=ff0000").content)
    assert red.shape == (64, 64, 3)
    assert red[0, 0].tolist() == [255, 0, 0]
    assert pixels(person.ask("GET", f"/avatars/{name}.png?size=256").content).shape == (256, 256, 4)


def test_the_viewers_file_is_that_of_a_page(ball: tuple[Person, str], of_materials: Avatar) -> None:
    from rodin.avatars.web_file import web_bytes

    person, name = ball
    assert person.ask("GET", f"/avatars/{name}.rodin").content == web_bytes(of_materials, "An avatar")


def test_a_file_is_made_once_in_its_turn_and_fetched_then(served: Served, ball: tuple[Person, str]) -> None:
    person, name = ball
    asked = {"format": "ply", "faces": 321}
    with served.busy():
        job = person.start(f"/avatars/{name}/files", asked)
        again = person.start(f"/avatars/{name}/files", asked)
        assert (job["state"], job["place"], job["file"]) == ("waiting", 1, None)
        assert again["id"] == job["id"]
    end = person.follow(job)[-1]
    assert end["state"] == "done"
    assert end["step"] == end["steps"]
    with served.busy():
        assert person.ask("GET", end["file"]).content.startswith(b"ply")
        assert person.start(f"/avatars/{name}/files", asked)["state"] == "done"


def test_a_file_is_given_up_between_two_stages(served: Served, person: Person, of_materials: Avatar) -> None:
    reached, go_on = threading.Event(), threading.Event()
    reduced: list[int] = []

    def held(mesh: Any, faces: int) -> Any:
        reached.set()
        go_on.wait()
        reduced.append(faces)
        return simplify_mesh(mesh, faces)

    name = served.give(person, of_materials)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rodin.avatars.mesh_export.simplify_mesh", held)
        patch.setattr("rodin.avatars.mesh_export.textured", lambda *_: pytest.fail("it went on"))
        job = person.start(f"/avatars/{name}/files", {"format": "glb", "faces": 500, "texture": 256})
        reached.wait()
        assert person.get(f"/jobs/{job['id']}")["step"] == 1
        assert person.ask("DELETE", f"/jobs/{job['id']}").status == 200
        go_on.set()
        end = person.follow(job)[-1]
    assert (end["state"], reduced) == ("cancelled", [500])
    assert list(served.studio._files.glob(f"*{name}*")) == [], "nothing half-written"
    film = person.follow(person.start(f"/avatars/{name}/files", {"format": "gif", "size": 64}))
    steps = [told["step"] for told in film]
    assert steps == sorted(steps)
    assert len(set(steps)) > 3, "the bar moves"


def test_files_are_kept_within_bounds_and_go_with_their_avatar(
    serve: Any, tmp_path: Path, of_materials: Avatar
) -> None:
    from rodin.studio.limits import Limits

    with serve(tmp_path / "studio", Limits(file_bytes=1)) as served:
        person = served.person()
        name = served.give(person, of_materials)
        for faces in (200, 300):
            assert person.ask("GET", f"/avatars/{name}.ply?faces={faces}").status == 200
        assert len(list((tmp_path / "studio" / "files").iterdir())) == 1, "the newest alone"
        assert person.ask("DELETE", f"/avatars/{name}").status == 204
        assert list((tmp_path / "studio" / "files").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (".ply?texture=64", 400),
        (".gif?faces=100", 400),
        (".html?size=64", 400),
        (".glb?faces=99", 422),
        (".glb?texture=4096", 422),
        (".glb?height=nan", 422),
        (".png?size=2049", 422),
        (".png?azimuth=inf", 422),
        (".png?background=javascript:1", 422),
        (".exe", 422),
        (".rodin.png", 404),
    ],
)
def test_what_no_file_has_is_refused(ball: tuple[Person, str], path: str, status: int) -> None:
    person, name = ball
    answer = person.ask("GET", f"/avatars/{name}{path}")
    assert answer.status == status
    assert set(answer.json()) == {"error"}


# ---- words


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_pickers_choose_comes_back_as_chosen(person: Person, data: Any) -> None:
    offered = person.get("/model")["attributes"]
    chosen = {
        one["name"]: data.draw(st.sampled_from([None, *(value["value"] for value in one["values"])]))
        for one in offered
        if not one["name"].endswith("_color")
    }
    prompt = person.ask("POST", "/descriptions", {"attributes": chosen}).json()["prompt"]
    understood = person.ask("POST", "/understanding", {"prompt": prompt}).json()
    assert {name: understood["attributes"][name] for name in chosen} == chosen
    assert understood["unread"] == []


def test_what_pickers_cannot_say_stays_in_the_prompt(person: Person) -> None:
    chosen = {"attributes": {"eyes": "green"}, "prompt": "a woman, not red hair"}
    prompt = person.ask("POST", "/descriptions", chosen).json()["prompt"]
    understood = person.ask("POST", "/understanding", {"prompt": prompt}).json()
    assert {one["label"] for one in understood["denied"]} == {"not red hair"}
    assert understood["attributes"]["eyes"] == "green"


def test_words_are_understood_while_they_are_typed(person: Person) -> None:
    def told(prompt: str) -> Any:
        answer = person.ask("POST", "/understanding", {"prompt": prompt, "seed": 1})
        assert answer.status == 200
        return answer.json()

    whole = told("an old man with a parrot, no glasses, not red hair")
    assert [(one["attribute"], one["values"], one["label"]) for one in whole["asked"]] == [
        ("sex", ["man"], "man"),
        ("age", ["elderly"], "elderly"),
    ]
    assert [(one["attribute"], one["label"]) for one in whole["denied"]] == [
        ("glasses", "no glasses"),
        ("hair_color", "not red hair"),
    ]
    assert whole["unread"] == ["parrot"]
    assert whole["attributes"]["glasses"] == "none"
    assert {"attribute", "value", "label"} == set(whole["drawn"][0])
    empty = told("")
    assert (empty["line"], empty["asked"], empty["unread"]) == ("", [], [])
    assert set(empty["attributes"].values()) == {None}
    assert told("qwxz")["line"].startswith("nothing understood")


@given(prompt=st.text(max_size=60))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_words_break_it(person: Person, prompt: str) -> None:
    assert person.ask("POST", "/understanding", {"prompt": prompt}).status == 200


# ---- what is refused


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"kind": "prompt", "prompt": ""}, 400, "prompt: it is empty"),
        ({"kind": "prompt", "prompt": "qwxz"}, 400, "prompt: nothing understood"),
        ({"kind": "prompt", "prompt": "a" * 2001}, 422, "prompt: String should have at most 2000"),
        ({"kind": "prompt", "prompt": "a man", "count": 9}, 422, "count: "),
        ({"kind": "prompt", "prompt": "a man", "count": 0}, 422, "count: "),
        ({"kind": "prompt", "prompt": "a man", "count": "2"}, 422, "count: "),
        ({"kind": "prompt", "prompt": "a man", "seed": -1}, 422, "seed: "),
        ({"kind": "prompt", "prompt": "a man", "seed": 2**40}, 422, "seed: "),
        ({"kind": "prompt", "prompt": "a man", "sampling": {"steps": 101}}, 422, "sampling.steps: "),
        ({"kind": "prompt", "prompt": "a man", "sampling": {"candidates": 999}}, 422, "sampling.candidates: "),
        ({"kind": "prompt", "prompt": "a man", "file": "/etc/passwd"}, 422, "file: "),
        ({"kind": "portrait", "portrait": "../../etc/passwd"}, 404, "portrait: "),
        ({"kind": "portrait", "portrait": "x", "refine": 201}, 422, "refine: "),
        ({"kind": "vary", "avatar": "../x"}, 404, "avatar: "),
        ({"kind": "mix", "first": "x", "second": "y", "part": 2}, 422, "part: "),
        ({"kind": "other"}, 422, "body: "),
        ([], 422, "body: "),
        ("text", 422, "body: "),
        (b"{", 422, "body: it is no JSON"),
        (b"\xff\xfe", 422, "body: it is no JSON"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_a_line(person: Person, body: Any, status: int, said: str) -> None:
    answer = person.ask("POST", "/avatars", body)
    assert answer.status == status
    error = answer.json()["error"]
    assert error.startswith(said)
    assert "\n" not in error


def test_pictures_come_as_pictures(person: Person) -> None:
    assert person.ask("POST", "/portraits", b"GIF89a", Content_Type="text/plain").status == 415
    broken = person.ask("POST", "/portraits", b"<script>", Content_Type="image/png")
    assert (broken.status, broken.json()["error"][:9]) == (400, "picture: ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"colours": {"hair": "red; background: url(x)"}}, 422),
        ({"colours": {"<b>": "#000000"}}, 422),
        ({"prompt": "a hat", "colours": {"wings": "#000000"}}, 422),
        ({"prompt": "a hat", "strength": 1e9}, 422),
    ],
)
def test_what_cannot_be_changed_is_said_in_a_line(person: Person, drawn: Any, body: Any, status: int) -> None:
    answer = person.ask("POST", f"/avatars/{drawn['id']}/edits", body)
    assert answer.status == status
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize(
    "path", ["/avatars/x", "/avatars/x.png", "/jobs/x", "/jobs/x/events", "/portraits/x.png", "/nowhere"]
)
def test_what_is_not_there_is_404(person: Person, path: str) -> None:
    answer = person.ask("GET", path)
    assert answer.status == 404
    assert set(answer.json()) == {"error"}


def test_words_are_escaped_wherever_they_are_shown(served: Served, person: Person, of_materials: Avatar) -> None:
    from dataclasses import replace

    nasty = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>'
    avatar = replace(of_materials, drawing=replace(of_materials.drawing, prompt=nasty))
    name = served.give(person, avatar)
    page = person.ask("GET", f"/avatars/{name}.html")
    assert nasty not in page.content.decode()
    assert "<img src=x" not in page.content.decode()
    assert page.headers["Content-Security-Policy"].startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in page.headers["Content-Security-Policy"]
    told = person.ask("GET", f"/avatars/{name}")
    assert told.json()["prompt"] == nasty
    assert told.headers["Content-Type"] == "application/json"


def test_a_full_disk_is_said_without_the_folder_and_the_studio_goes_on(
    serve: Any, tmp_path: Path, of_materials: Avatar, full_disk: Any
) -> None:
    with serve(tmp_path / "studio") as served:
        person = served.person()
        name = served.give(person, of_materials)
        with full_disk(2000):
            told = person.follow(person.start("/avatars", {"kind": "surprise", "sampling": QUICK}))[-1]
            answers = [person.ask("GET", f"/avatars/{name}.stl?faces=400")]
            answers += [person.ask("POST", f"/avatars/{name}/colours", {"colours": {"hair": "#00ff00"}})]
        assert told["state"] == "failed"
        for said in (told["error"], *(answer.json()["error"] for answer in answers)):
            assert "the studio's folder: not written" in said
            assert str(tmp_path) not in said
        assert [one["id"] for one in person.get("/avatars")["avatars"]] == [name]
        assert person.draw("/avatars", {"kind": "surprise", "sampling": QUICK})["avatars"]


def test_only_so_many_pictures_are_sent_at_once(serve: Any, tmp_path: Path) -> None:
    from rodin.studio.limits import Limits

    with serve(tmp_path / "studio", Limits(uploads=1, listeners=0)) as served:
        person = served.person()
        host, port = served.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            head = f"POST /portraits HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/png\r\nContent-Length: 100\r\n"
            slow.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            assert slow.recv(1000).startswith(b"HTTP/1.1 100 "), "it is being sent"
            assert person.ask("POST", "/portraits", b"x", Content_Type="image/png").status == 429
        job = person.start("/avatars", {"kind": "surprise", "sampling": QUICK})
        assert person.ask("GET", f"/jobs/{job['id']}/events").status == 429


def test_a_defect_is_said_without_its_inside(served: Served, person: Person, of_materials: Avatar) -> None:
    name = served.give(person, of_materials)

    def broken(*_: Any) -> None:
        raise RuntimeError("/secret/path")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served.studio, "web_file", broken)
        answer = person.ask("GET", f"/avatars/{name}.rodin")
    assert answer.status == 500
    assert "secret" not in answer.content.decode()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
