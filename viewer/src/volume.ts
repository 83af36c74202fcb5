/**
 * The baked volume: opacity and colour of the voxels of an avatar, for machines to which a decoder is too much.
 *
 * What voxels emit is asked once, and kept as bytes; colours are mixed of it here, so that a new palette needs neither
 * planes nor decoder. A voxel's colour is multiplied by its opacity, since it is interpolated with its neighbours'.
 */

import type { Avatar, Colour } from "./avatar";
import { VOXELS } from "./shader";

/** Where voxels are that a ray may look at, [N, 4] as x, y, z and 0: those in marked cells and beside them. */
export function voxelsOf(avatar: Avatar): Uint8Array<ArrayBuffer> {
  const { cells, occupied } = avatar;
  const cell = (voxel: number): number => Math.min(Math.max(Math.floor((voxel * cells) / VOXELS), 0), cells - 1);
  const beside = Array.from({ length: VOXELS }, (_, voxel) => [cell(voxel - 1), cell(voxel + 1)] as const);
  const found: number[] = [];
  for (let x = 0; x < VOXELS; x++) {
    for (let y = 0; y < VOXELS; y++) {
      for (let z = 0; z < VOXELS; z++) {
        let marked = 0;
        for (const i of beside[x]!) for (const j of beside[y]!) for (const k of beside[z]!) marked |= occupied[(i * cells + j) * cells + k]!;
        if (marked) found.push(x, y, z, 0);
      }
    }
  }
  return Uint8Array.from(found);
}

/** The voxels that are not wholly transparent, [M, 4], and their numbers, [M, 4] each. */
export function thatShow(
  voxels: Uint8Array,
  numbers: readonly Uint8Array[],
): { voxels: Uint8Array<ArrayBuffer>; numbers: Uint8Array<ArrayBuffer>[] } {
  const [first] = numbers as [Uint8Array];
  const found: number[] = [];
  for (let at = 0; at < voxels.length; at += 4) if (first[at + 3] !== 0) found.push(at);
  const kept = (all: Uint8Array): Uint8Array<ArrayBuffer> => {
    const some = new Uint8Array(4 * found.length);
    found.forEach((at, index) => some.set(all.subarray(at, at + 4), 4 * index));
    return some;
  };
  return { voxels: kept(voxels), numbers: numbers.map(kept) };
}

/**
 * The volume [z, y, x, RGBA] of baked voxels, under a palette.
 * @param voxels - [N, 4]
 * @param numbers - vectors of four bytes, [N, 4] each, as `bakeFragment` writes them.
 * @param shaded - whether shade and residual count, or the shares alone.
 */
export function volumeOf(
  avatar: Avatar,
  voxels: Uint8Array,
  numbers: readonly Uint8Array[],
  palette: readonly Colour[],
  shaded: boolean,
  volume: Uint8Array,
): void {
  const colours = palette.map((colour) => colour.map((channel) => channel * 255));
  const [first] = numbers as [Uint8Array];
  for (let at = 0; at < voxels.length; at += 4) {
    const opacity = first[at + 3]!;
    let red = first[at]!, green = first[at + 1]!, blue = first[at + 2]!;
    if (palette.length > 0) {
      let mixedRed = 0, mixedGreen = 0, mixedBlue = 0;
      for (let k = 0; k < palette.length; k++) {
        const share = numbers[1 + ((k + 1) >> 2)]![at + ((k + 1) & 3)]!; // after the shade
        if (share === 0) continue;
        const colour = colours[k]!;
        mixedRed += share * colour[0]!;
        mixedGreen += share * colour[1]!;
        mixedBlue += share * colour[2]!;
      }
      const shade = (shaded ? 2 * numbers[1]![at]! : 255) / (255 * 255);
      const residual = shaded ? 2 * avatar.residual : 0;
      red = shade * mixedRed + residual * (red - 127.5);
      green = shade * mixedGreen + residual * (green - 127.5);
      blue = shade * mixedBlue + residual * (blue - 127.5);
    }
    const to = 4 * ((voxels[at + 2]! * VOXELS + voxels[at + 1]!) * VOXELS + voxels[at]!);
    const scale = opacity / 255;
    volume[to] = byte(red * scale, opacity);
    volume[to + 1] = byte(green * scale, opacity);
    volume[to + 2] = byte(blue * scale, opacity);
    volume[to + 3] = opacity;
  }
}

function byte(value: number, most: number): number {
  return value <= 0 ? 0 : Math.min(most, value + 0.5);
}
