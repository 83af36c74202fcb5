"""The Triton kernel of volume rendering; `rodin.render.cuda` launches it, the only one that may import this file.

A program follows RAYS rays, a lane each. Every lane walks to its own next marked bin, then all lanes look up and decode
their samples together: few lanes idle, however differently their rays run. A lane is done when its bin is the last or
its ray is opaque.

A matrix product is three of TF32, which comes near float32; all else is float32. Widths are padded with zeros to powers
of two of at least 16, which `tl.dot` wants; the padding never reaches a result.
"""

# mypy: disallow-untyped-defs=False
from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def activate(x, SOFTPLUS: tl.constexpr):
    """Softplus or SiLU."""
    if SOFTPLUS:
        return softplus(x)
    else:  # a function that Triton compiles returns in both branches
        return x * tl.sigmoid(x)


@triton.jit
def softplus(x):
    """log(1 + e^x), without overflow."""
    return tl.maximum(x, 0.0) + tl.log(1 + tl.exp(-tl.abs(x)))


@triton.jit
def cell_of(coordinate, cells):
    """Index along an axis of the occupancy cell that holds a coordinate in [-1, 1]."""
    index = ((coordinate + 1) * (cells * 0.5)).to(tl.int32)
    return tl.minimum(tl.maximum(index, 0), cells - 1)


@triton.jit
def neighbours(coordinate, size):
    """The two texels around a coordinate in [-1, 1] along an axis of `size` texels, and the second one's weight."""
    place = tl.minimum(tl.maximum((coordinate + 1) * (size * 0.5) - 0.5, 0.0), size - 1.0)
    first = place.to(tl.int32)
    return first, tl.minimum(first + 1, size - 1), place - first


@triton.jit
def texel(texels, index, active, WIDTH: tl.constexpr):
    """[RAYS, WIDTH] of one texel a lane; an idle lane reads nothing."""
    place = (index.to(tl.int64) * WIDTH)[:, None] + tl.arange(0, WIDTH)[None, :]
    return tl.load(texels + place, mask=active[:, None], other=0.0)


@triton.jit
def look_up(texels, plane, row, column, height, width, active, WIDTH: tl.constexpr):
    """Bilinear look-up in a plane: row and column in [-1, 1] -> [RAYS, WIDTH]."""
    row0, row1, down = neighbours(row, height)
    column0, column1, right = neighbours(column, width)
    top, bottom = (plane * height + row0) * width, (plane * height + row1) * width
    found = ((1 - down) * (1 - right))[:, None] * texel(texels, top + column0, active, WIDTH)
    found += ((1 - down) * right)[:, None] * texel(texels, top + column1, active, WIDTH)
    found += (down * (1 - right))[:, None] * texel(texels, bottom + column0, active, WIDTH)
    found += (down * right)[:, None] * texel(texels, bottom + column1, active, WIDTH)
    return found


@triton.jit
def layer(x, weights, index, IN: tl.constexpr, OUT: tl.constexpr):
    """x [RAYS, IN] times the `index`-th matrix of weights [..., IN, OUT]."""
    place = (index * IN + tl.arange(0, IN))[:, None] * OUT + tl.arange(0, OUT)[None, :]
    return tl.dot(x, tl.load(weights + place), input_precision="tf32x3")


@triton.jit
def vector(values, index, WIDTH: tl.constexpr):
    """The `index`-th row of values [..., WIDTH] as [1, WIDTH]."""
    return tl.load(values + index * WIDTH + tl.arange(0, WIDTH))[None, :]


@triton.jit
def sine(turns):
    """sin(2 pi turns), to 1e-7: the exact one of the GPU's library would spill registers for huge arguments."""
    place = turns - tl.floor(turns + 0.5)  # [-1/2, 1/2]
    size = tl.abs(place)
    angle = 6.283185307179586 * tl.minimum(size, 0.5 - size)  # [0, pi / 2]
    square = angle * angle
    series = 1 - square * (1 / 110)  # Taylor's, to the 11th power
    series = 1 - square * (1 / 72) * series
    series = 1 - square * (1 / 42) * series
    series = 1 - square * (1 / 20) * series
    series = 1 - square * (1 / 6) * series
    return tl.where(place < 0, -angle, angle) * series


@triton.jit
def render(
    # rays: [R, 3], [R, 3], [R], [R]
    origins,
    directions,
    near,
    far,
    ray_count,
    samples,
    # occupancy: [cells, cells, cells] of uint8
    occupied,
    cells,
    opaque_below,
    # planes, channels last: [3, height, width, INPUTS]
    texels,
    height,
    width,
    # decoder, see `rodin.render.cuda.Weights`
    trunk,
    trunk_bias,
    density,
    density_bias,
    density_scale,
    direction,
    shade,
    shade_bias,
    inner,
    inner_bias,
    colour,
    colour_bias,
    # result: [R, outputs + materials + 2 (+ channels)]
    totals,
    outputs,
    materials,
    residual,
    channels,
    RAYS: tl.constexpr,
    OCCUPANCY: tl.constexpr,
    FOLDED: tl.constexpr,
    FEATURES: tl.constexpr,
    FREQUENCIES: tl.constexpr,
    DIRECTION: tl.constexpr,
    MATERIALS: tl.constexpr,
    SOFTPLUS: tl.constexpr,
    INNER_LAYERS: tl.constexpr,
    INPUTS: tl.constexpr,
    HIDDEN: tl.constexpr,
    OUTPUTS: tl.constexpr,
):
    ray = tl.program_id(0) * RAYS + tl.arange(0, RAYS)
    exists = ray < ray_count
    origin_x = tl.load(origins + 3 * ray, mask=exists, other=0.0)
    origin_y = tl.load(origins + 3 * ray + 1, mask=exists, other=0.0)
    origin_z = tl.load(origins + 3 * ray + 2, mask=exists, other=0.0)
    x = tl.load(directions + 3 * ray, mask=exists, other=0.0)
    y = tl.load(directions + 3 * ray + 1, mask=exists, other=0.0)
    z = tl.load(directions + 3 * ray + 2, mask=exists, other=0.0)
    start = tl.load(near + ray, mask=exists, other=0.0)
    end = tl.load(far + ray, mask=exists, other=0.0)
    step = (end - start) / samples

    # What a ray's direction adds to the hidden layer or, with materials, the weights that the shade has along it.
    if DIRECTION or MATERIALS:
        turned = tl.zeros([RAYS, HIDDEN], tl.float32)
    if MATERIALS:
        turned += vector(shade, 0, HIDDEN)
        shade_constant = tl.zeros([RAYS], tl.float32) + tl.load(shade_bias)
        is_material = (tl.arange(0, OUTPUTS) < materials)[None, :]
        shares = tl.zeros([RAYS, OUTPUTS], tl.float32)
    if DIRECTION:  # `rodin.render.decoder.direction_basis`, the same for all samples of a ray
        turned += x[:, None] * vector(direction, 0, HIDDEN)
        turned += y[:, None] * vector(direction, 1, HIDDEN)
        turned += z[:, None] * vector(direction, 2, HIDDEN)
        turned += (x * y)[:, None] * vector(direction, 3, HIDDEN)
        turned += (y * z)[:, None] * vector(direction, 4, HIDDEN)
        turned += (z * x)[:, None] * vector(direction, 5, HIDDEN)
        turned += (x * x - y * y)[:, None] * vector(direction, 6, HIDDEN)
        turned += (3 * z * z - 1)[:, None] * vector(direction, 7, HIDDEN)
        if MATERIALS:
            shade_constant += x * tl.load(shade_bias + 1) + y * tl.load(shade_bias + 2) + z * tl.load(shade_bias + 3)
            shade_constant += x * y * tl.load(shade_bias + 4) + y * z * tl.load(shade_bias + 5)
            shade_constant += z * x * tl.load(shade_bias + 6) + (x * x - y * y) * tl.load(shade_bias + 7)
            shade_constant += (3 * z * z - 1) * tl.load(shade_bias + 8)

    seen = tl.zeros([RAYS, OUTPUTS], tl.float32)
    alpha = tl.zeros([RAYS], tl.float32)
    depth = tl.zeros([RAYS], tl.float32)
    if FEATURES:
        features = tl.zeros([RAYS, INPUTS], tl.float32)
    through = tl.full([RAYS], 1.0, tl.float32)
    bin = tl.where(exists & (end > start), 0, samples)
    while tl.min(bin, axis=0) < samples:
        if OCCUPANCY:
            seeking = bin < samples
            while tl.max(seeking.to(tl.int32), axis=0) > 0:
                distance = start + (bin + 0.5) * step
                cell = cell_of(origin_x + distance * x, cells)
                cell = cell * cells + cell_of(origin_y + distance * y, cells)
                cell = cell * cells + cell_of(origin_z + distance * z, cells)
                marked = tl.load(occupied + cell, mask=seeking, other=1) != 0
                bin = tl.where(marked, bin, bin + 1)
                seeking = (bin < samples) & (marked == 0)
        active = bin < samples
        distance = start + (bin + 0.5) * step
        u, v, w = origin_x + distance * x, origin_y + distance * y, origin_z + distance * z
        found = look_up(texels, 0, u, v, height, width, active, INPUTS)  # the axes: `rodin.triplane`
        found += look_up(texels, 1, w, u, height, width, active, INPUTS)
        found += look_up(texels, 2, v, w, height, width, active, INPUTS)

        if FOLDED:
            hidden = found
        else:
            hidden = layer(found, trunk, 0, INPUTS, HIDDEN)
            for octave in tl.range(FREQUENCIES, num_stages=1):
                turns = found * ((1 << octave) * 0.15915494309189535)
                hidden += layer(sine(turns), trunk, 1 + octave, INPUTS, HIDDEN)
                hidden += layer(sine(turns + 0.25), trunk, 1 + FREQUENCIES + octave, INPUTS, HIDDEN)
        hidden = activate(hidden + vector(trunk_bias, 0, HIDDEN), SOFTPLUS)
        raw = tl.sum(hidden * vector(density, 0, HIDDEN), axis=1) + density_bias
        optical = tl.where(active, density_scale * softplus(raw) * step, 0.0)
        if DIRECTION and not MATERIALS:
            hidden += turned
        for index in tl.range(INNER_LAYERS, num_stages=1):
            hidden = layer(hidden, inner, index, HIDDEN, HIDDEN) + vector(inner_bias, index, HIDDEN)
            hidden = activate(hidden, SOFTPLUS)
        shown = layer(hidden, colour, 0, HIDDEN, OUTPUTS) + vector(colour_bias, 0, OUTPUTS)
        if MATERIALS:  # `rodin.render.decoder.Decoder`: logits and residual to shares times shade, and residual
            logits = tl.where(is_material, shown, float("-inf"))
            share = tl.exp(logits - tl.max(logits, axis=1)[:, None])
            share /= tl.sum(share, axis=1)[:, None]
            bright = softplus(tl.sum(hidden * turned, axis=1) + shade_constant) * 1.4426950408889634
            shown = tl.where(is_material, bright[:, None] * share, residual * (2 * tl.sigmoid(2 * shown) - 1))
        else:
            shown = tl.sigmoid(shown)

        passed = tl.exp(-optical)
        weight = through * (1 - passed)  # 0 in idle lanes
        seen += weight[:, None] * shown
        if MATERIALS:
            shares += weight[:, None] * share
        alpha += weight
        depth += weight * distance
        if FEATURES:
            features += weight[:, None] * found
        through *= passed
        bin = tl.where(through > opaque_below, bin + 1, samples)

    emitted = outputs + materials
    columns = emitted + 2
    if FEATURES:
        columns += channels
    row = totals + ray.to(tl.int64) * columns
    column = tl.arange(0, OUTPUTS)
    tl.store(row[:, None] + column[None, :], seen, mask=exists[:, None] & (column < outputs)[None, :])
    if MATERIALS:
        tl.store(row[:, None] + (outputs + column)[None, :], shares, mask=exists[:, None] & is_material)
    tl.store(row + emitted, alpha, mask=exists)
    tl.store(row + emitted + 1, depth, mask=exists)
    if FEATURES:
        channel = tl.arange(0, INPUTS)
        place = row[:, None] + (emitted + 2 + channel)[None, :]
        tl.store(place, features, mask=exists[:, None] & (channel < channels)[None, :])
