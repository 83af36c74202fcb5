/** Colours: sRGB in [0, 1] as hue, saturation and value, the polar form of a wheel, and as #rrggbb. */

import type { Colour } from "./avatar";

export interface Hsv {
  /** Degrees in [0, 360). */
  readonly hue: number;
  readonly saturation: number;
  readonly value: number;
}

export function toHsv([red, green, blue]: Colour): Hsv {
  const value = Math.max(red, green, blue);
  const range = value - Math.min(red, green, blue);
  if (range === 0) return { hue: 0, saturation: 0, value };
  let sixth = 4 + (red - green) / range;
  if (value === red) sixth = (green - blue) / range;
  else if (value === green) sixth = 2 + (blue - red) / range;
  return { hue: ((sixth * 60) + 360) % 360, saturation: range / value, value };
}

export function fromHsv({ hue, saturation, value }: Hsv): Colour {
  const channel = (shift: number): number => {
    const sixth = (shift + hue / 60) % 6;
    return value - value * saturation * Math.max(0, Math.min(sixth, 4 - sixth, 1));
  };
  return [channel(5), channel(3), channel(1)];
}

export function toHex(colour: Colour): string {
  return `#${colour.map((channel) => Math.round(channel * 255).toString(16).padStart(2, "0")).join("")}`;
}

/** The colour of #rgb or #rrggbb, with or without its sign; null of other text. */
export function fromHex(text: string): Colour | null {
  const digits = /^#?([0-9a-f]{3}|[0-9a-f]{6})$/i.exec(text.trim())?.[1];
  if (digits === undefined) return null;
  const wide = digits.length === 3 ? [...digits].map((digit) => digit + digit).join("") : digits;
  const channel = (first: number): number => parseInt(wide.slice(first, first + 2), 16) / 255;
  return [channel(0), channel(2), channel(4)];
}
