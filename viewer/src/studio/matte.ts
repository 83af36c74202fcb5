/** What of a picture belongs to the person, in bytes, and a brush that corrects it. Pure. */

export interface Spot {
  readonly x: number;
  readonly y: number;
}

const KEPT = 24; // strokes that can be taken back

export class Matte {
  private readonly before: Uint8Array<ArrayBuffer>[] = [];

  /** @param values - [height, width], 255 where the person is. */
  constructor(
    readonly width: number,
    readonly height: number,
    public values: Uint8Array<ArrayBuffer>,
  ) {}

  /** A stroke begins: what is there now can be had back. */
  begin(): void {
    this.before.push(this.values.slice());
    if (this.before.length > KEPT) this.before.shift();
  }

  /** Paint along a line, with a soft edge of two pixels. */
  stroke(from: Spot, to: Spot, radius: number, value: 0 | 255): void {
    const length = Math.hypot(to.x - from.x, to.y - from.y);
    const count = Math.max(1, Math.ceil(length / Math.max(1, radius / 3)));
    for (let index = 0; index <= count; index++) {
      const t = index / count;
      this.dab(from.x + t * (to.x - from.x), from.y + t * (to.y - from.y), radius, value);
    }
  }

  /** Take the last stroke back. @returns whether there was one. */
  undo(): boolean {
    const values = this.before.pop();
    if (values === undefined) return false;
    this.values = values;
    return true;
  }

  get canUndo(): boolean {
    return this.before.length > 0;
  }

  private dab(x: number, y: number, radius: number, value: 0 | 255): void {
    const [left, right] = [Math.max(0, Math.floor(x - radius)), Math.min(this.width - 1, Math.ceil(x + radius))];
    const [top, bottom] = [Math.max(0, Math.floor(y - radius)), Math.min(this.height - 1, Math.ceil(y + radius))];
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const cover = Math.min(1, Math.max(0, (radius - Math.hypot(column + 0.5 - x, row + 0.5 - y)) / 2 + 0.5));
        if (cover === 0) continue;
        const at = row * this.width + column;
        const old = this.values[at]!;
        // towards the value, and never back: dabs overlap
        const next = Math.round(old + cover * (value - old));
        this.values[at] = value === 255 ? Math.max(old, next) : Math.min(old, next);
      }
    }
  }
}
