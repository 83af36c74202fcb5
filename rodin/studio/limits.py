"""How much the studio takes from anybody."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What is refused beyond these numbers; `GET /model` tells them.

    Args:
        prompt: characters of a prompt.
        count: avatars of a job.
        steps: denoising steps, of the base model and of the upsampler.
        candidates: latents that are drawn for a prompt.
        refine: steps towards a portrait.
        document_bytes: of a request that is JSON.
        upload_bytes: of a picture that is sent.
        uploads: pictures that are being sent at once.
        upload_pixels: of such a picture, whatever few bytes it has.
        picture_side: pixels of an avatar's picture.
        video_side: pixels of a turntable.
        faces: triangles of a mesh.
        texture: pixels of a texture's side.
        queue: jobs that wait, of all people together.
        queue_each: of these, one person's.
        small_queue: requests that wait for a picture.
        jobs_kept: that are over, for those who ask how they ended.
        portraits: that are kept; the oldest goes.
        avatars: that are kept, of all people together.
        file_bytes: of files made of avatars, which are kept to be fetched again; the oldest go.
        listeners: that follow jobs at once.
    """

    prompt: int = 2000
    count: int = 8
    steps: int = 100
    candidates: int = 16
    refine: int = 200
    document_bytes: int = 2**16
    upload_bytes: int = 20 * 2**20
    uploads: int = 8
    upload_pixels: int = 50_000_000
    picture_side: int = 2048
    video_side: int = 512
    faces: int = 200_000
    texture: int = 2048
    queue: int = 32
    queue_each: int = 8
    small_queue: int = 32
    jobs_kept: int = 256
    portraits: int = 200
    avatars: int = 10_000
    file_bytes: int = 2**30
    listeners: int = 128
