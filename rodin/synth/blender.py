"""The only file that imports Blender: parts become a scene, a scene becomes frames.

Run as `python -m rodin.synth.blender` it is a worker: it reads one subject a line from standard input and answers on
standard output, while everything that Blender prints goes to a log. Blender's z is up: a world point (x, y, z) lies at
(x, -z, y) in Blender.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NoReturn

import numpy as np
import OpenEXR

from rodin.errors import UserError
from rodin.materials import MATERIALS
from rodin.synth.body.build import build_avatar, detail_for
from rodin.synth.body.geometry import WORLD_SCALE, Array, Mesh, Parts, Strands, Surface, to_world
from rodin.synth.cameras import FOV, camera_poses
from rodin.synth.lighting import LIGHTING, Lighting
from rodin.synth.pixels import straight_srgb, whole_shares
from rodin.synth.recipe import make_recipe
from rodin.synth.subject import (
    folder_name,
    frame_name,
    has_view,
    map_name,
    save_frame,
    save_map,
    touches_border,
    write_transforms,
)
from rodin.synth.worker import Job


@contextmanager
def _one_cpu() -> Iterator[None]:
    """What is loaded meanwhile finds one CPU.

    Blender's library of threads (TBB) counts CPUs when it is loaded and starts a thread for each; those that have
    nothing to do never sleep, but spin, which took a third of all processor time.
    """
    if not hasattr(os, "sched_setaffinity"):  # macOS
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(allowed)[os.getpid() % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


with _one_cpu():
    import bpy

Answer = Callable[[dict[str, object]], None]

#: Rotation that takes world vectors to Blender's axes.
WORLD_TO_BLENDER = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))

#: Materials are rendered as colours of passes, three to a pass (arbitrary output variables), antialiased as the image.
PASSES = [MATERIALS[first : first + 3] for first in range(0, len(MATERIALS), 3)]


def start_scene(size: int, fov: float, seed: int, lighting: Lighting, samples: int) -> None:
    """An empty scene with render settings (`samples` rays a pixel), light and a camera of `fov` radians."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, seed % (1 << 31)
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.02
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes, cycles.denoising_quality = "RGB_ALBEDO_NORMAL", "FAST"
    cycles.denoising_prefilter = "FAST"
    cycles.use_light_tree = False
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 2, 1, 1
    cycles.transmission_bounces, cycles.transparent_max_bounces = 1, 4
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 3.0
    scene.cycles_curves.shape = "RIBBONS"
    render = scene.render
    render.use_persistent_data, render.film_transparent = True, True
    render.resolution_x = render.resolution_y = size
    render.resolution_percentage = 100
    render.threads_mode, render.threads = "FIXED", 1
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    settings = render.image_settings
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "16", "NONE"
    for names in PASSES:
        variable = bpy.context.view_layer.aovs.add()
        variable.name, variable.type = _pass_name(names), "COLOR"
    camera = bpy.data.cameras.new("camera")
    camera.sensor_width, camera.angle = 36.0, fov
    camera.clip_start = 0.1
    scene.camera = _link("camera", camera)
    _light(lighting)


def _link(name: str, data: object) -> bpy.types.Object:
    """A new object of the scene that shows `data`."""
    item = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(item)
    return item


def _light(lighting: Lighting) -> None:
    """The sky, a ramp from below to above, and the lamps."""
    from mathutils import Vector

    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    # So smooth a sky needs few samples of itself; Blender's own choice of a size costs a second and a half a subject.
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 64
    tree = world.node_tree
    coordinate, split = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeSeparateXYZ")
    span, ramp = tree.nodes.new("ShaderNodeMapRange"), tree.nodes.new("ShaderNodeValToRGB")
    span.inputs["From Min"].default_value = -1.0
    ramp.color_ramp.elements[0].color = (*lighting.below, 1.0)
    ramp.color_ramp.elements[1].color = (*lighting.above, 1.0)
    background = tree.nodes["Background"]
    tree.links.new(coordinate.outputs["Generated"], split.inputs[0])
    tree.links.new(split.outputs["Z"], span.inputs["Value"])
    tree.links.new(span.outputs["Result"], ramp.inputs[0])
    tree.links.new(ramp.outputs[0], background.inputs["Color"])
    background.inputs["Strength"].default_value = lighting.strength
    for number, lamp in enumerate(lighting.lamps):
        light = bpy.data.lights.new(f"lamp {number}", "AREA")
        light.size, light.energy, light.color = lamp.size, lamp.power, lamp.colour
        item = _link(light.name, light)
        item.location = WORLD_TO_BLENDER @ np.array(lamp.place)
        item.rotation_euler = (Vector((0.0, 0.0, 0.1)) - item.location).to_track_quat("-Z", "Y").to_euler()


def _pass_name(names: tuple[str, ...]) -> str:
    return "materials " + " ".join(names)


def _mark(tree: bpy.types.NodeTree, material: str, blends: Iterable[str]) -> None:
    """Have a shader write what it is made of into the passes: the layers that `_add_shares` made, or one whole."""
    for names in PASSES:
        if not {material, *blends} & set(names):
            continue
        output = tree.nodes.new("ShaderNodeOutputAOV")
        output.aov_name = _pass_name(names)
        if blends:
            layer = tree.nodes.new("ShaderNodeVertexColor")
            layer.layer_name = _pass_name(names)
            tree.links.new(layer.outputs["Color"], output.inputs["Color"])
        else:
            output.inputs["Color"].default_value = (
                *(float(name == material) for name in names),
                *(0.0,) * (4 - len(names)),
            )


def _shader(surface: Surface) -> bpy.types.Material:
    """A principled material that takes its colour from the mesh's vertices."""
    result = bpy.data.materials.new(surface.name)
    result.use_nodes = True
    tree = result.node_tree
    shader = tree.nodes["Principled BSDF"]
    values = {
        "Roughness": surface.roughness,
        "Specular IOR Level": surface.specular,
        "Alpha": surface.opacity,
        "Metallic": surface.metallic,
        "Coat Weight": surface.coat,
        "Sheen Weight": surface.sheen,
        "Subsurface Weight": surface.subsurface,
        "Subsurface Scale": WORLD_SCALE,
    }
    for name, value in values.items():
        shader.inputs[name].default_value = value
    shader.inputs["Subsurface Radius"].default_value = (0.10, 0.04, 0.025)
    color = tree.nodes.new("ShaderNodeVertexColor")
    color.layer_name = "Col"
    tree.links.new(color.outputs["Color"], shader.inputs["Base Color"])
    if surface.bump > 0:
        coordinate, noise = tree.nodes.new("ShaderNodeTexCoord"), tree.nodes.new("ShaderNodeTexNoise")
        bump = tree.nodes.new("ShaderNodeBump")
        noise.inputs["Scale"].default_value = surface.bump_scale / WORLD_SCALE
        noise.inputs["Detail"].default_value = 2.0
        bump.inputs["Strength"].default_value = surface.bump
        bump.inputs["Distance"].default_value = 0.01 * WORLD_SCALE
        tree.links.new(coordinate.outputs["Object"], noise.inputs["Vector"])
        tree.links.new(noise.outputs[0], bump.inputs["Height"])
        tree.links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    return result


def _hair_surface(strands: Strands) -> bpy.types.Material:
    """A principled material whose brightness varies from strand to strand."""
    result = bpy.data.materials.new(strands.name)
    result.use_nodes = True
    tree = result.node_tree
    shader = tree.nodes["Principled BSDF"]
    info, span = tree.nodes.new("ShaderNodeHairInfo"), tree.nodes.new("ShaderNodeMapRange")
    shade = tree.nodes.new("ShaderNodeHueSaturation")
    span.inputs["To Min"].default_value = 1.0 - strands.variation
    span.inputs["To Max"].default_value = 1.0 + strands.variation
    shade.inputs["Color"].default_value = (*map(float, strands.colour), 1.0)
    tree.links.new(info.outputs["Random"], span.inputs["Value"])
    tree.links.new(span.outputs["Result"], shade.inputs["Value"])
    tree.links.new(shade.outputs["Color"], shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = strands.roughness
    shader.inputs["Specular IOR Level"].default_value = 0.45
    return result


def _to_blender(points: Array) -> Array:
    """Head units [..., 3] to Blender's axes and world units, flat, float32."""
    return np.ascontiguousarray(to_world(points) @ WORLD_TO_BLENDER.T.astype(np.float32), np.float32).ravel()


def _add_mesh(mesh: Mesh) -> None:
    data = bpy.data.meshes.new(mesh.surface.name)
    triangles = np.ascontiguousarray(mesh.triangles, np.int32)
    data.vertices.add(len(mesh.vertices))
    data.vertices.foreach_set("co", _to_blender(mesh.vertices))
    data.loops.add(triangles.size)
    data.loops.foreach_set("vertex_index", triangles.ravel())
    data.polygons.add(len(triangles))
    data.polygons.foreach_set("loop_start", np.arange(0, triangles.size, 3, dtype=np.int32))
    data.update(calc_edges=True)
    data.polygons.foreach_set("use_smooth", np.ones(len(triangles), bool))
    _add_layer(data, "Col", mesh.colours)
    shader = _shader(mesh.surface)
    _add_shares(data, mesh)
    _mark(shader.node_tree, mesh.material, mesh.blends)
    data.materials.append(shader)
    _link(mesh.surface.name, data)


def _add_layer(data: bpy.types.Mesh, name: str, colours: Array) -> None:
    """A colour attribute of the vertices, [V, up to 3]."""
    values = np.zeros((len(colours), 4), np.float32)
    values[:, : colours.shape[1]] = colours
    values[:, 3] = 1.0
    data.color_attributes.new(name, "FLOAT_COLOR", "POINT").data.foreach_set("color", values.ravel())


def _add_shares(data: bpy.types.Mesh, mesh: Mesh) -> None:
    """A mesh of several materials gets a layer of shares for each pass that has one of them."""
    if not mesh.blends:
        return
    none = np.zeros(len(mesh.vertices), np.float32)
    shares = {**mesh.blends, mesh.material: 1.0 - np.sum(list(mesh.blends.values()), axis=0)}
    for names in PASSES:
        if shares.keys() & set(names):
            _add_layer(data, _pass_name(names), np.stack([shares.get(name, none) for name in names], axis=1))


def _add_strands(strands: Strands) -> None:
    count, knots, _ = strands.points.shape
    data = bpy.data.hair_curves.new(strands.name)
    data.add_curves([knots] * count)
    data.attributes["position"].data.foreach_set("vector", _to_blender(strands.points))
    radius = data.attributes.get("radius") or data.attributes.new("radius", "FLOAT", "POINT")
    taper = strands.radius * WORLD_SCALE * (1.0 - (1.0 - strands.tip) * np.linspace(0, 1, knots) ** 2)
    radius.data.foreach_set("value", np.broadcast_to(taper, (count, knots)).astype(np.float32).ravel())
    shader = _hair_surface(strands)
    _mark(shader.node_tree, "hair", {})
    data.materials.append(shader)
    _link(strands.name, data)


def add_parts(parts: Parts) -> None:
    """Put every mesh and every lock of hair into the scene."""
    for mesh in parts.meshes:
        _add_mesh(mesh)
    for strands in parts.strands:
        _add_strands(strands)


def render_view(cam_to_world: Array, scratch: Path) -> tuple[Array, Array]:
    """Render the scene from `cam_to_world` [4, 4] (world axes), by way of a file in `scratch`.

    Returns:
        straight sRGB RGBA [H, W, 4] uint8, and the shares of MATERIALS [H, W, K] uint8, which add up to alpha.
    """
    from mathutils import Matrix

    matrix = np.eye(4)
    matrix[:3] = WORLD_TO_BLENDER @ cam_to_world[:3]
    scene = bpy.context.scene
    scene.camera.matrix_world = Matrix(matrix.tolist())
    path = scratch / "view.exr"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    layer = bpy.context.view_layer.name
    with OpenEXR.File(str(path)) as file:
        found = {name: channel.pixels for part in file.parts for name, channel in part.channels.items()}
    image = straight_srgb(found[f"{layer}.Combined"])
    coverage = [found[f"{layer}.{_pass_name(names)}"][..., : len(names)] for names in PASSES]
    return image, whole_shares(np.concatenate(coverage, axis=-1), image[..., 3])


def render_subject(job: Job, index: int, answer: Answer) -> None:
    """Build and render one subject; views that an earlier run finished are kept."""
    recipe = make_recipe(job.seed, index)
    folder = Path(job.out) / folder_name(index)
    poses = camera_poses(job.seed, index, job.views, job.size)
    todo = [view for view in range(job.views) if not has_view(folder, view)]
    if todo:
        start_scene(job.size, FOV, job.seed * 100_003 + index, LIGHTING[recipe.lighting], samples=job.samples)
        add_parts(build_avatar(recipe, heads=job.heads, detail=detail_for(job.size)))
    with tempfile.TemporaryDirectory(prefix="rodin-synth-") as scratch:
        for view in range(job.views):
            if view in todo:
                image, shares = render_view(poses[view], Path(scratch))
                if touches_border(image[..., 3]):
                    raise RuntimeError(f"frame {view} reaches the image's border: the camera does not see all of it")
                save_map(shares, folder / map_name(view))
                save_frame(image, folder / frame_name(view))
            answer({"frame": view})
    write_transforms(folder, recipe, poses, job.size)


def _listen(asked: SimpleQueue[int]) -> None:
    """Pass on what is asked for, and end this process where nobody is left who could ask."""
    for line in sys.stdin:
        asked.put(int(line))
    os._exit(0)


def main() -> None:
    """Serve subjects from standard input until it ends; see worker.py for the protocol."""
    job = Job.from_json(sys.argv[1])
    # Blender prints to file descriptor 1 from C: keep a private copy for the answers and let the rest go to the log.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: dict[str, object]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    asked: SimpleQueue[int] = SimpleQueue()
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    answer({"ready": True})
    while True:
        index = asked.get()
        try:
            render_subject(job, index, answer)
        except UserError as error:
            answer({"error": str(error)})
            return
        except BrokenPipeError:
            return
        except Exception as error:
            traceback.print_exc()
            log = Path(job.out) / ".logs"
            answer({"error": f"subject {index:05d}: {type(error).__name__}: {error}; see the logs in {log}"})
            return
        answer({"done": index})


def run() -> NoReturn:
    """Serve, and end without Blender's own farewell, which can wait for its threads for ever."""
    status = 0
    try:
        main()
    except BaseException:
        traceback.print_exc()
        status = 1
    os._exit(status)


if __name__ == "__main__":
    run()
