/** The square that is cut out of a picture. It may reach beyond the picture, but never leaves it. Pure. */

import { clamp } from "../camera";
import type { Square } from "./api";

export interface Size {
  readonly width: number;
  readonly height: number;
}

export type Corner = "nw" | "ne" | "sw" | "se";
export const CORNERS: readonly Corner[] = ["nw", "ne", "sw", "se"];

const SMALLEST = 16; // pixels of an edge
const INSIDE = 8; // pixels of the picture that stay inside

/** The nearest square in whole pixels that may be. */
export function allowed({ left, top, size }: Square, picture: Size): Square {
  const edge = Math.round(clamp(size, SMALLEST, 2 * Math.max(picture.width, picture.height)));
  return {
    left: Math.round(clamp(left, INSIDE - edge, picture.width - INSIDE)),
    top: Math.round(clamp(top, INSIDE - edge, picture.height - INSIDE)),
    size: edge,
  };
}

export function moved(square: Square, dx: number, dy: number, picture: Size): Square {
  return allowed({ ...square, left: square.left + dx, top: square.top + dy }, picture);
}

/** Pull a corner by so many pixels; the opposite one stays. */
export function pulled(square: Square, corner: Corner, dx: number, dy: number, picture: Size): Square {
  const outX = corner.endsWith("e") ? dx : -dx;
  const outY = corner.startsWith("s") ? dy : -dy;
  const { size } = allowed({ ...square, size: square.size + (outX + outY) / 2 }, picture);
  const grown = size - square.size;
  return allowed(
    {
      left: square.left - (corner.endsWith("w") ? grown : 0),
      top: square.top - (corner.startsWith("n") ? grown : 0),
      size,
    },
    picture,
  );
}

/** Larger about its middle. */
export function grown(square: Square, by: number, picture: Size): Square {
  const { size } = allowed({ ...square, size: square.size + by }, picture);
  const half = (size - square.size) / 2;
  return allowed({ left: square.left - half, top: square.top - half, size }, picture);
}
