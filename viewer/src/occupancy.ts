/**
 * How far every cell is from the nearest one that matters, so that a ray leaps over what is empty.
 *
 * The distance is Chebyshev's, the larger of the steps along x, y and z: from a cell at distance n, a point that moves
 * by less than n cells along every axis meets nothing. It is exact, and separable: one axis after another.
 */

/** Farther is as far: a ray that leaps so many cells at once has little left to gain. */
const FARTHEST = 16;

/** Distances [G, G, G] in cells, at most FARTHEST, of marked cells [G, G, G]; 0 in marked ones. */
export function distances(marked: Uint8Array, cells: number): Uint8Array<ArrayBuffer> {
  const values = Uint8Array.from(marked, (mark) => (mark ? 0 : FARTHEST));
  const line = new Uint8Array(cells);
  for (const [stride, others] of [[1, [cells, cells * cells]], [cells, [1, cells * cells]], [cells * cells, [1, cells]]] as const) {
    for (let a = 0; a < cells; a++) for (let b = 0; b < cells; b++) alongAxis(values, line, a * others[0] + b * others[1], stride);
  }
  return values;
}

/** Each value of a line becomes the least over j of max(values[j], |i - j|). */
function alongAxis(values: Uint8Array, line: Uint8Array, first: number, stride: number): void {
  const cells = line.length;
  for (let i = 0; i < cells; i++) line[i] = values[first + i * stride]!;
  for (let i = 0; i < cells; i++) {
    let least = line[i]!;
    for (let reach = 1; reach < least; reach++) {
      const before = i >= reach ? line[i - reach]! : FARTHEST;
      const after = i + reach < cells ? line[i + reach]! : FARTHEST;
      least = Math.min(least, Math.max(reach, Math.min(before, after)));
    }
    values[first + i * stride] = least;
  }
}
