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
import traceback
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np
from PIL import Image

from rodin.errors import UserError
from rodin.synth.body.build import build_avatar, detail_for
from rodin.synth.body.geometry import WORLD_SCALE, Array, Mesh, Parts, Strands, Surface, to_world
from rodin.synth.cameras import FOV, camera_poses
from rodin.synth.lighting import LIGHTING, Lighting
from rodin.synth.recipe import make_recipe
from rodin.synth.subject import frame_name, save_frame, subject_folder, touches_border, write_transforms
from rodin.synth.worker import Job

Answer = Callable[[dict[str, object]], None]

#: Rotation that takes world vectors to Blender's axes.
WORLD_TO_BLENDER = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))


def start_scene(size: int, fov: float, seed: int, lighting: Lighting, samples: int) -> None:
    """An empty scene with render settings (`samples` rays a pixel), light and a camera of `fov` radians."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.device, cycles.samples, cycles.seed = "CPU", samples, seed % (1 << 31)
    cycles.use_adaptive_sampling, cycles.adaptive_threshold = True, 0.02
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.denoising_input_passes, cycles.denoising_quality = "RGB_ALBEDO_NORMAL", "BALANCED"
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
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGBA", "8"
    settings.compression = 10
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
    attribute = data.color_attributes.new("Col", "FLOAT_COLOR", "POINT")
    colors = np.ones((len(mesh.vertices), 4), np.float32)
    colors[:, :3] = mesh.colours
    attribute.data.foreach_set("color", colors.ravel())
    data.materials.append(_shader(mesh.surface))
    _link(mesh.surface.name, data)


def _add_strands(strands: Strands) -> None:
    count, knots, _ = strands.points.shape
    data = bpy.data.hair_curves.new(strands.name)
    data.add_curves([knots] * count)
    data.attributes["position"].data.foreach_set("vector", _to_blender(strands.points))
    radius = data.attributes.get("radius") or data.attributes.new("radius", "FLOAT", "POINT")
    taper = strands.radius * WORLD_SCALE * (1.0 - (1.0 - strands.tip) * np.linspace(0, 1, knots) ** 2)
    radius.data.foreach_set("value", np.broadcast_to(taper, (count, knots)).astype(np.float32).ravel())
    data.materials.append(_hair_surface(strands))
    _link(strands.name, data)


def add_parts(parts: Parts) -> None:
    """Put every mesh and every lock of hair into the scene."""
    for mesh in parts.meshes:
        _add_mesh(mesh)
    for strands in parts.strands:
        _add_strands(strands)


def render_png(cam_to_world: Array, path: Path) -> None:
    """Render the scene from `cam_to_world` [4, 4] (world axes) to an RGBA PNG."""
    from mathutils import Matrix

    matrix = np.eye(4)
    matrix[:3] = WORLD_TO_BLENDER @ cam_to_world[:3]
    scene = bpy.context.scene
    scene.camera.matrix_world = Matrix(matrix.tolist())
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def render_subject(job: Job, index: int, answer: Answer) -> None:
    """Build and render one subject; frames that an earlier run finished are kept."""
    recipe = make_recipe(job.seed, index)
    folder = subject_folder(Path(job.out), index)
    poses = camera_poses(job.seed, index, job.views, job.size)
    todo = [view for view in range(job.views) if not (folder / frame_name(view)).is_file()]
    if todo:
        start_scene(job.size, FOV, job.seed * 100_003 + index, LIGHTING[recipe.lighting], samples=job.samples)
        add_parts(build_avatar(recipe, heads=job.heads, detail=detail_for(job.size)))
    with tempfile.TemporaryDirectory(prefix="rodin-synth-") as scratch:
        for view in range(job.views):
            if view in todo:
                png = Path(scratch) / "frame.png"
                render_png(poses[view], png)
                with Image.open(png) as image:
                    image.load()
                if touches_border(np.asarray(image)[..., 3]):
                    raise RuntimeError(f"frame {view} reaches the image's border: the camera does not see all of it")
                save_frame(image, folder / frame_name(view))
            answer({"frame": view})
    write_transforms(folder, recipe, poses, job.size)


def main() -> None:
    """Serve subjects from standard input until it ends; see worker.py for the protocol."""
    job = Job.from_json(sys.argv[1])
    # Blender prints to file descriptor 1 from C: keep a private copy for the answers and let the rest go to the log.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: dict[str, object]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    answer({"ready": True})
    for line in sys.stdin:
        index = int(line)
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


if __name__ == "__main__":
    main()
