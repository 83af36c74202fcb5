/**
 * An avatar as a page holds it: gzipped safetensors that `rodin/avatars/web_file.py` writes, planes in 10 bits.
 *
 * Symbols: C channels, H W rows and columns of a plane, K materials, G cells along an edge of the box.
 */

import { parseSafetensors, type Safetensors } from "./safetensors";

export type Colour = readonly [number, number, number];

export interface DecoderConfig {
  readonly channels: number;
  readonly hidden: number;
  readonly colour_layers: number;
  readonly frequencies: number;
  readonly view_direction: boolean;
  readonly activation: "silu" | "softplus";
  readonly density_scale: number;
  readonly density_shift: number;
  readonly colours: number;
  readonly materials: number;
}

/** What the file says beside its numbers; every convention has its home in Python and comes from there. */
interface About {
  readonly schema: string;
  readonly title: string;
  readonly decoder: DecoderConfig;
  readonly samples: number;
  readonly cells: number;
  readonly residual: number;
  readonly camera: { readonly radius: number; readonly fov_deg: number; readonly elevation_deg: number };
  readonly materials: readonly string[];
  readonly map_colours: readonly Colour[];
  readonly wheels: readonly { readonly material: string; readonly label: string }[];
}

/** A linear layer, weight [rows, columns] row by row. */
export interface Linear {
  readonly rows: number;
  readonly columns: number;
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

export interface Decoder {
  readonly config: DecoderConfig;
  readonly trunk: Linear;
  readonly density: Linear;
  readonly colour: readonly Linear[];
  readonly direction: Linear | null;
}

export interface Avatar extends About {
  readonly height: number;
  readonly width: number;
  /** [3, C, H, W] codes of 10 bits; the number is scale[c] * code + offset[c]. */
  readonly planes: Uint16Array;
  readonly scale: Float32Array;
  readonly offset: Float32Array;
  /** [G, G, G], indices along x, y, z: 1 where a bin's middle has to be looked at. */
  readonly occupied: Uint8Array;
  readonly network: Decoder;
  /** [K] sRGB in [0, 1]; empty without materials. */
  readonly palette: readonly Colour[];
}

const SCHEMA = "rodin-web-1";

/**
 * Unpack and read an avatar.
 * @param gzipped - what `rodin/avatars/web_file.py` wrote.
 * @throws Error with one line that says what is wrong with it.
 */
export async function readAvatar(gzipped: Uint8Array<ArrayBuffer>): Promise<Avatar> {
  const file = parseSafetensors(await gunzip(gzipped));
  const about = JSON.parse(file.metadata["about"] ?? "{}") as About;
  if (about.schema !== SCHEMA) throw new Error(`the avatar's schema is not ${SCHEMA}; export it again`);
  const [, channels, height, width] = shapeOf(file, "planes") as [number, number, number, number];
  const palette = file.tensors.has("palette") ? triples(floats(file, "palette")) : [];
  return {
    ...about,
    height,
    width,
    planes: codesOf(undifferenced(bytes(file, "planes"), 3 * channels, height, width), bytes(file, "planes_low")),
    scale: floats(file, "scale"),
    offset: floats(file, "offset"),
    occupied: unpacked(bytes(file, "occupied"), about.cells ** 3),
    network: decoderOf(file, about.decoder),
    palette,
  };
}

/** Bytes of base64 text, as a page holds an avatar. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
}

async function gunzip(gzipped: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const stream = new Blob([gzipped]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Rows are kept as differences from the row above, modulo 256, which packs better. */
export function undifferenced(rows: Uint8Array, images: number, height: number, width: number): Uint8Array {
  const values = rows.slice();
  for (let image = 0; image < images; image++) {
    const first = image * height * width;
    for (let index = first + width; index < first + height * width; index++) {
      values[index] = values[index]! + values[index - width]!; // a Uint8Array wraps around
    }
  }
  return values;
}

/** Codes of their upper 8 bits, a byte each, and their lower 2, four to a byte. */
export function codesOf(upper: Uint8Array, lower: Uint8Array): Uint16Array {
  return Uint16Array.from(upper, (byte, index) => (byte << 2) | ((lower[index >> 2]! >> (6 - 2 * (index & 3))) & 3));
}

/** Bits, the highest of each byte first, as bytes of 0 and 1. */
export function unpacked(bits: Uint8Array, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, index) => (bits[index >> 3]! >> (7 - (index & 7))) & 1);
}

function decoderOf(file: Safetensors, config: DecoderConfig): Decoder {
  const linear = (name: string): Linear => {
    const [rows, columns] = shapeOf(file, `${name}.weight`) as [number, number];
    const bias = file.tensors.has(`${name}.bias`) ? floats(file, `${name}.bias`) : new Float32Array(rows);
    return { rows, columns, weight: floats(file, `${name}.weight`), bias };
  };
  return {
    config,
    trunk: linear("decoder.trunk"),
    density: linear("decoder.density"),
    colour: Array.from({ length: config.colour_layers + 1 }, (_, index) => linear(`decoder.colour.${index}`)),
    direction: config.view_direction && config.materials === 0 ? linear("decoder.direction") : null,
  };
}

function shapeOf(file: Safetensors, name: string): readonly number[] {
  const tensor = file.tensors.get(name);
  if (tensor === undefined) throw new Error(`the avatar lacks ${name}; export it again`);
  return tensor.shape;
}

function floats(file: Safetensors, name: string): Float32Array {
  shapeOf(file, name);
  return file.tensors.get(name)!.data as Float32Array;
}

function bytes(file: Safetensors, name: string): Uint8Array {
  shapeOf(file, name);
  return file.tensors.get(name)!.data as Uint8Array;
}

function triples(values: Float32Array): Colour[] {
  return Array.from({ length: values.length / 3 }, (_, k) => [values[3 * k]!, values[3 * k + 1]!, values[3 * k + 2]!]);
}
