/** The maths of the viewer against what is known otherwise: brute force, closed forms, round trips. */

import { describe, expect, it } from "vitest";
import { codesOf, undifferenced, unpacked, type Colour } from "../src/avatar";
import { focalLength, inWords, limited, poseOf } from "../src/camera";
import { fromHex, fromHsv, toHex, toHsv } from "../src/colour";
import { distances } from "../src/occupancy";
import { parseSafetensors } from "../src/safetensors";

function random(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 1103515245 + 12345) % 2 ** 31) / 2 ** 31;
}

describe("distances", () => {
  it("are those of Chebyshev, as far as they count", () => {
    const cells = 24;
    const next = random(1);
    const marked = Uint8Array.from({ length: cells ** 3 }, () => Number(next() < 0.001));
    const where = [...marked.keys()].filter((index) => marked[index]);
    expect(where.length).toBeGreaterThan(3);
    const at = (index: number): number[] => [Math.floor(index / cells ** 2), Math.floor(index / cells) % cells, index % cells];
    const found = distances(marked, cells);
    for (let index = 0; index < marked.length; index += 7) {
      const here = at(index);
      const nearest = Math.min(...where.map((other) => Math.max(...at(other).map((c, axis) => Math.abs(c - here[axis]!)))));
      expect(found[index]).toBe(Math.min(nearest, 16));
    }
  });
});

describe("camera", () => {
  it("looks at the middle from where it stands, its axes at right angles", () => {
    for (const [azimuth, elevation] of [[0, 0], [90, 0], [-135, 40], [10, 85]] as const) {
      const { origin, axes } = poseOf({ azimuth, elevation, zoom: 1, shift: [0, 0] }, 5);
      const [right, up, back] = [axes.slice(0, 3), axes.slice(3, 6), axes.slice(6)] as [number[], number[], number[]];
      const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, value, k) => sum + value * b[k]!, 0);
      expect(dot(right, up)).toBeCloseTo(0);
      expect(dot(up, back)).toBeCloseTo(0);
      expect(dot(right, right)).toBeCloseTo(1);
      expect(dot(up, up)).toBeCloseTo(1);
      expect(up[1]).toBeGreaterThan(0);
      expect(dot(origin, back)).toBeCloseTo(5);
    }
    expect(poseOf({ azimuth: 90, elevation: 0, zoom: 1, shift: [0, 0] }, 2).origin[0]).toBeCloseTo(2); // their left is +x
  });

  it("has the focal length of its field of view", () => {
    expect(focalLength(90, 1)).toBeCloseTo(0.5);
    expect(focalLength(90, 3)).toBeCloseTo(1.5);
  });

  it("keeps views within limits", () => {
    expect(limited({ azimuth: 190, elevation: 120, zoom: 100, shift: [9, -9] })).toEqual({
      azimuth: -170,
      elevation: 85,
      zoom: 8,
      shift: [3.7, -3.7],
    });
    expect(inWords({ azimuth: 90, elevation: 0, zoom: 1, shift: [0, 0] })).toBe("90 degrees to its left");
    expect(inWords({ azimuth: -179, elevation: 0, zoom: 1, shift: [0, 0] })).toBe("from behind");
  });
});

describe("colours", () => {
  it("come back from the wheel", () => {
    const next = random(2);
    for (let k = 0; k < 200; k++) {
      const colour: Colour = [next(), next(), next()];
      fromHsv(toHsv(colour)).forEach((channel, index) => expect(channel).toBeCloseTo(colour[index]!));
    }
    expect(toHsv([0.2, 0.2, 0.2]).saturation).toBe(0);
    expect(fromHsv({ hue: 120, saturation: 1, value: 1 }).map(Math.round)).toEqual([0, 1, 0]);
  });

  it("are read from codes, and from nothing else", () => {
    expect(toHex(fromHex("#a03020")!)).toBe("#a03020");
    expect(fromHex("fff")).toEqual([1, 1, 1]);
    for (const text of ["", "#ff", "#gggggg", "red", "#1234567"]) expect(fromHex(text)).toBeNull();
  });
});

describe("files", () => {
  it("have bits from the highest, and rows that add up modulo 256", () => {
    expect([...unpacked(Uint8Array.of(0b10100000, 0b11000000), 10)]).toEqual([1, 0, 1, 0, 0, 0, 0, 0, 1, 1]);
    expect([...undifferenced(Uint8Array.of(250, 1, 10, 2, 255, 3), 1, 3, 2)]).toEqual([250, 1, 4, 3, 3, 6]);
    expect([...codesOf(Uint8Array.of(0, 1, 255, 2, 3), Uint8Array.of(0b01101100, 0b10000000))]).toEqual([1, 6, 1023, 8, 14]);
  });

  it("that are cut off or of other numbers are refused", () => {
    const header = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';
    const whole = new Uint8Array(8 + header.length + 8);
    whole[0] = header.length;
    whole.set(new TextEncoder().encode(header), 8);
    new DataView(whole.buffer).setFloat32(8 + header.length + 4, 1.5, true);
    expect([...parseSafetensors(whole).tensors.get("a")!.data]).toEqual([0, 1.5]);
    expect(() => parseSafetensors(whole.subarray(0, whole.length - 1))).toThrow("cut off");
    expect(() => parseSafetensors(whole.subarray(0, 20))).toThrow("cut off");
    const other = Uint8Array.from(whole);
    other.set(new TextEncoder().encode(header.replace("F32", "F64")), 8);
    expect(() => parseSafetensors(other)).toThrow("F64");
  });
});
