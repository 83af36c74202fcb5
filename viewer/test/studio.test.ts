/** Contract of the studio's pure parts: crops stay squares that reach the picture, a brush paints what it covers and can
 * be undone, and what people read says what the server said. */

import { describe, expect, it } from "vitest";
import { fileName } from "../src/file_name";
import type { Avatar, Job, Understanding } from "../src/studio/api";
import { allowed, grown, moved, pulled, CORNERS } from "../src/studio/crop";
import { Matte } from "../src/studio/matte";
import { chipsOf, noteOf, ordinal, progressOf, shareOf, sizeOf, titleOf } from "../src/studio/words";

const PICTURE = { width: 300, height: 200 };
const SQUARE = { left: 40, top: 30, size: 100 };

describe("crop", () => {
  it("moves by what it is moved, in whole pixels", () => {
    expect(moved(SQUARE, 10.4, -5.2, PICTURE)).toEqual({ left: 50, top: 25, size: 100 });
  });

  it("may reach beyond the picture, but never leaves it", () => {
    for (const [dx, dy] of [[-1e4, 0], [1e4, 0], [0, -1e4], [0, 1e4]] as const) {
      const { left, top, size } = moved(SQUARE, dx, dy, PICTURE);
      expect(left < PICTURE.width && left + size > 0 && top < PICTURE.height && top + size > 0).toBe(true);
    }
    expect(moved(SQUARE, -60, 0, PICTURE).left).toBe(-20);
  });

  it("is pulled at a corner while the opposite one stays", () => {
    for (const corner of CORNERS) {
      const fixed = ({ left, top, size }: typeof SQUARE): [number, number] => [
        corner.endsWith("w") ? left + size : left,
        corner.startsWith("n") ? top + size : top,
      ];
      const [dx, dy] = [corner.endsWith("e") ? 20 : -20, corner.startsWith("s") ? 20 : -20];
      const larger = pulled(SQUARE, corner, dx, dy, PICTURE);
      expect(larger.size).toBe(120);
      expect(fixed(larger)).toEqual(fixed(SQUARE));
    }
  });

  it("grows about its middle, and neither vanishes nor swallows all", () => {
    expect(grown(SQUARE, 20, PICTURE)).toEqual({ left: 30, top: 20, size: 120 });
    expect(grown(SQUARE, -1e4, PICTURE).size).toBe(16);
    expect(grown(SQUARE, 1e5, PICTURE).size).toBe(600);
    expect(allowed({ left: 0.4, top: 0.6, size: 99.5 }, PICTURE)).toEqual({ left: 0, top: 1, size: 100 });
  });
});

describe("matte", () => {
  const blank = (): Matte => new Matte(40, 30, new Uint8Array(40 * 30));

  it("is painted within the brush and nowhere else", () => {
    const matte = blank();
    matte.stroke({ x: 10, y: 15 }, { x: 30, y: 15 }, 5, 255);
    for (let row = 0; row < 30; row++) {
      for (let column = 0; column < 40; column++) {
        const nearest = Math.min(Math.max(column + 0.5, 10), 30);
        const away = Math.hypot(column + 0.5 - nearest, row + 0.5 - 15);
        const value = matte.values[row * 40 + column]!;
        if (away < 3.5) expect(value).toBe(255);
        if (away > 6.1) expect(value).toBe(0);
      }
    }
  });

  it("is never taken back by strokes that overlap", () => {
    const matte = blank();
    matte.stroke({ x: 20, y: 15 }, { x: 20, y: 15 }, 6, 255);
    const before = matte.values.slice();
    matte.stroke({ x: 23, y: 15 }, { x: 23, y: 15 }, 6, 255);
    expect(before.every((value, index) => matte.values[index]! >= value)).toBe(true);
  });

  it("is undone a stroke at a time", () => {
    const matte = blank();
    expect(matte.undo()).toBe(false);
    matte.begin();
    matte.stroke({ x: 5, y: 5 }, { x: 9, y: 5 }, 3, 255);
    const first = matte.values.slice();
    matte.begin();
    matte.stroke({ x: 5, y: 5 }, { x: 9, y: 5 }, 4, 0);
    expect(matte.values).not.toEqual(first);
    expect(matte.undo()).toBe(true);
    expect(matte.values).toEqual(first);
    expect(matte.undo()).toBe(true);
    expect(matte.values.every((value) => value === 0)).toBe(true);
    expect(matte.canUndo).toBe(false);
  });

  it("takes strokes beyond its edges", () => {
    const matte = blank();
    matte.stroke({ x: -50, y: -50 }, { x: 90, y: 80 }, 4, 255);
    expect(matte.values.some((value) => value === 255)).toBe(true);
  });
});

describe("words", () => {
  const understanding: Understanding = {
    line: "",
    asked: [
      { attribute: "beard", values: ["chin beard"], label: "chin beard", words: "goatee" },
      { attribute: "hair_color", values: ["white"], label: "white hair", words: "white" },
      { attribute: "age", values: ["young"], label: "young", words: "" },
    ],
    denied: [{ attribute: "glasses", values: ["none"], label: "no glasses", words: "" }],
    unread: ["parrot"],
    drawn: [{ attribute: "skin", value: "tan", label: "tan skin" }],
    attributes: {},
  };

  it("are chips of what is asked, denied, not read and drawn, and differ for those who do not see them", () => {
    const chips = chipsOf(understanding);
    expect(chips.map(({ kind, text }) => [kind, text])).toEqual([
      ["asked", "chin beard (goatee)"], ["asked", "white hair"], ["asked", "young"],
      ["denied", "glasses"], ["unread", "parrot"], ["drawn", "tan skin"],
    ]);
    expect(new Set(chips.map(({ kind }) => kind)).size).toBe(new Set(chips.map(({ spoken }) => spoken)).size);
  });

  const job: Job = {
    id: "a", kind: "prompt", state: "waiting", place: 0, step: 0, steps: 13, stage: "latent", preview: null, avatars: [], error: null, file: null,
  };

  it("say where a job is", () => {
    expect(progressOf({ ...job, place: 2 })).toBe("3rd in the queue");
    expect(progressOf(job)).toBe("Next in the queue");
    expect(progressOf({ ...job, state: "drawing", stage: "base", step: 4 })).toBe("Shaping: step 4 of 13");
    expect(shareOf(job)).toBeNull();
    expect(shareOf({ ...job, state: "drawing", step: 13, stage: "picture" })).toBe(1);
  });

  it("count as people do", () => {
    expect([1, 2, 3, 4, 11, 12, 13, 21, 101, 111].map(ordinal)).toEqual([
      "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "101st", "111th",
    ]);
    expect(sizeOf(1)).toBe("1 KB");
    expect(sizeOf(1_240_000)).toBe("1.2 MB");
  });

  it("name avatars by their words, or by how they came about", () => {
    const avatar = { prompt: "", kind: "mix", edit: null } as unknown as Avatar;
    expect(titleOf(avatar)).toBe("A mix");
    expect(titleOf({ ...avatar, prompt: "an old man" })).toBe("an old man");
    expect(noteOf({ ...avatar, prompt: "an old man", edit: "a red hat" })).toBe("a red hat");
  });

  it("make names of files that every system takes", () => {
    expect(fileName("An old man, with a white beard!", "glb")).toBe("an-old-man-with-a-white-beard.glb");
    expect(fileName("../../etc/passwd", "png")).toBe("etc-passwd.png");
    expect(fileName("…", "html")).toBe("avatar.html");
    expect(fileName("x".repeat(300), "stl").length).toBeLessThan(70);
  });
});
