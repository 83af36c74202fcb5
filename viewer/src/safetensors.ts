/** Reads safetensors: eight bytes with the length of a JSON header, the header, then the numbers of all tensors. */

export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint8Array;
}

export interface Safetensors {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const KINDS = { F32: { bytes: 4, array: Float32Array }, U8: { bytes: 1, array: Uint8Array } } as const;

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/** @throws Error where the bytes are no whole safetensors file of float32 and uint8 tensors. */
export function parseSafetensors(bytes: Uint8Array): Safetensors {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? Infinity : Number(view.getBigUint64(0, true));
  if (8 + length > bytes.length) throw new Error("the avatar is cut off");
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, unknown>;
  const tensors = new Map<string, Tensor>();
  for (const [name, value] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: [begin, end] } = value as Entry;
    const kind = KINDS[dtype as keyof typeof KINDS];
    const count = shape.reduce((product, size) => product * size, 1);
    if (kind === undefined) throw new Error(`tensor ${name}: ${dtype} is not read here`);
    if (end - begin !== count * kind.bytes || 8 + length + end > bytes.length) throw new Error("the avatar is cut off");
    const own = bytes.slice(8 + length + begin, 8 + length + end); // a copy, which is aligned
    tensors.set(name, { shape, data: new kind.array(own.buffer, 0, count) });
  }
  return { tensors, metadata: (header["__metadata__"] ?? {}) as Record<string, string> };
}
