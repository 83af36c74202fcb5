/** A portrait: dropped or chosen, cropped by a square, its background mended with a brush. */

import { clamp } from "../camera";
import { button, element } from "../element";
import { ask, lineOf, type Portrait as Given, type Square } from "./api";
import { Choice, numberField, Problem, settling, Slider } from "./controls";
import { CORNERS, grown, moved, pulled, type Corner } from "./crop";
import { Matte, type Spot } from "./matte";

const SENT_MS = 400; // after the last change until the server is told
const KEY_STEP = 0.01; // of the picture's edge, that a key moves
const REMOVED = [196, 62, 120] as const; // tint of what is removed
export const REFINE_STEPS = 50;

export interface PortraitWish {
  readonly portrait: string;
  readonly refine: number;
}

export class PortraitPage {
  readonly element: HTMLElement;
  readonly button: HTMLButtonElement;
  private readonly file: HTMLInputElement;
  private readonly drop: HTMLElement;
  private readonly work: HTMLElement;
  private readonly remarks = element("ul", { class: "remarks" });
  private readonly problem = new Problem();
  private readonly area = element("div", { class: "portrait-area" });
  private readonly picture = element("img", { alt: "Your picture", draggable: "false" });
  private readonly tint = element("canvas", { class: "tint" });
  private readonly crop = element("div", { class: "crop" });
  private readonly framed = element("img", { class: "framed", alt: "What the model will see" });
  private readonly fields: Readonly<Record<keyof Square, HTMLInputElement>>;
  private readonly tool: Choice;
  private readonly brush: Choice;
  private readonly radius: Slider;
  private readonly undo: HTMLButtonElement;
  private readonly likeness: Choice;
  private readonly brushTools: HTMLElement;
  private readonly cropTools: HTMLElement;
  private portrait: Given | null = null;
  private square: Square = { left: 0, top: 0, size: 1 };
  private matte: Matte | null = null;
  private cursor: Spot = { x: 0, y: 0 };
  private sending: Promise<void> = Promise.resolve();
  private readonly sendCrop = settling(SENT_MS, () => this.send("crop"));
  private readonly sendMatte = settling(SENT_MS, () => this.send("matte"));

  /**
   * @param limit - bytes of a picture.
   * @param dropped - told of a file that falls anywhere on the page.
   */
  constructor(
    private readonly limit: number,
    private readonly dropped: () => void,
    private readonly draw: (wish: PortraitWish) => void,
  ) {
    this.file = element("input", { type: "file", accept: "image/*,.heic,.heif", class: "unseen", id: "portrait-file" });
    this.file.addEventListener("change", () => {
      const [file] = this.file.files ?? [];
      this.file.value = "";
      if (file !== undefined) void this.take(file);
    });
    const choose = element("label", { class: "drop", for: "portrait-file" }, [
      element("strong", {}, ["Choose a picture"]),
      element("span", {}, ["or drop it here. One face, from the front, is best."]),
    ]);
    this.drop = element("div", { class: "drop-box" }, [this.file, choose]);

    const field = (name: keyof Square, label: string): HTMLElement => {
      const { element: made, input } = numberField(label, { step: "1" });
      input.addEventListener("change", () => {
        if (Number.isFinite(input.valueAsNumber)) this.cut({ ...this.square, [name]: input.valueAsNumber });
        else this.showCrop();
      });
      inputs[name] = input;
      return made;
    };
    const inputs = {} as Record<keyof Square, HTMLInputElement>;
    this.cropTools = element("div", { class: "crop-fields" }, [field("left", "Left"), field("top", "Top"), field("size", "Size")]);
    this.fields = inputs;

    this.tool = new Choice("Correct", [{ value: "crop", label: "Crop" }, { value: "matte", label: "Background" }], () => this.showTool(), "segments");
    this.brush = new Choice("Brush", [{ value: "0", label: "Remove" }, { value: "255", label: "Bring back" }], () => {}, "segments");
    this.brush.value = "0";
    this.radius = new Slider("Size", { least: 2, most: 20, step: 1, value: 6 }, (size) => `${size}`);
    this.undo = button("Undo", () => {
      if (this.matte?.undo()) this.changedMatte();
    });
    this.brushTools = element("div", { class: "brush-tools" }, [this.brush.element, this.radius.element, this.undo]);
    this.likeness = new Choice(
      "Likeness",
      [{ value: "0", label: "A person of that kind" }, { value: String(REFINE_STEPS), label: "As near as it gets" }],
      () => {},
    );
    this.likeness.value = "0";
    this.button = button("Draw", () => {
      if (this.portrait !== null) void this.submit(this.portrait);
    }, "primary");

    this.area.append(element("div", { class: "portrait-picture" }, [this.picture, this.tint, this.crop]));
    for (const corner of CORNERS) this.crop.append(element("span", { class: `corner ${corner}`, "data-corner": corner }));
    this.crop.tabIndex = 0;
    this.crop.setAttribute("role", "application");
    this.crop.setAttribute("aria-roledescription", "crop box");
    this.tint.setAttribute("role", "application");
    this.tint.setAttribute("aria-roledescription", "brush");
    this.tint.setAttribute("aria-label", "Background. Arrow keys move the brush, space paints");
    this.listenToCrop();
    this.listenToBrush();

    this.work = element("div", { class: "portrait-work" }, [
      this.remarks, this.tool.element, this.area, this.cropTools, this.brushTools,
      element("div", { class: "framed-row" }, [this.framed, element("p", { class: "note" }, ["What the model will see."]),
        button("Another picture", () => this.file.click(), "quiet")]),
      this.likeness.element,
      element("p", { class: "note" }, ["The first takes seconds, the second about a minute. Sides and back are a guess either way."]),
      this.button,
    ]);
    this.work.hidden = true;
    this.element = element("div", { class: "portrait" }, [this.drop, this.problem.element, this.work]);
    this.listenToDrops();
  }

  /** Take a picture: send it, and show what the server makes of it. */
  async take(file: Blob): Promise<void> {
    this.problem.say("");
    if (file.size > this.limit) {
      this.problem.say(`The picture has ${(file.size / 1e6).toFixed(0)} MB; at most ${(this.limit / 1e6).toFixed(0)} MB are taken.`);
      return;
    }
    this.drop.classList.add("busy");
    try {
      const portrait = await ask<Given>("POST", "portraits", file);
      this.picture.src = portrait.picture;
      await this.picture.decode();
      this.matte = await matteOf(portrait.matte_url);
      this.portrait = portrait;
      this.square = portrait.crop;
      const { width, height } = this.matte;
      this.tint.width = width;
      this.tint.height = height;
      this.cursor = { x: width / 2, y: height / 2 };
      this.picture.parentElement!.style.aspectRatio = `${portrait.width} / ${portrait.height}`;
      this.drop.hidden = true;
      this.work.hidden = false;
      this.tool.value = portrait.matte.good ? "crop" : "matte";
      this.showRemarks(portrait);
      this.showCrop();
      this.showMatte();
      this.showTool();
      this.showFramed();
    } catch (error) {
      this.problem.say(lineOf(error));
    }
    this.drop.classList.remove("busy");
  }

  private async submit(portrait: Given): Promise<void> {
    await this.sending;
    if (this.problem.element.hidden) this.draw({ portrait: portrait.id, refine: Number(this.likeness.value) });
  }

  private showRemarks(portrait: Given): void {
    const lines = [...portrait.remarks];
    if (portrait.matte.remark !== "" && !lines.includes(portrait.matte.remark)) lines.push(portrait.matte.remark);
    this.remarks.replaceChildren(...lines.map((line) => element("li", {}, [line])));
    this.remarks.hidden = lines.length === 0;
  }

  private showTool(): void {
    const cropping = this.tool.value === "crop";
    this.cropTools.hidden = this.crop.hidden = !cropping;
    this.brushTools.hidden = cropping;
    this.tint.classList.toggle("at-work", !cropping);
    this.tint.tabIndex = cropping ? -1 : 0;
  }

  private showFramed(): void {
    if (this.portrait !== null) this.framed.src = `${this.portrait.framed}?at=${Date.now()}`;
  }

  /** Tell the server, one change after the other. */
  private send(what: "crop" | "matte"): void {
    this.sending = this.sending.then(async () => {
      const { portrait, matte } = this;
      if (portrait === null || matte === null) return;
      try {
        const body = what === "crop" ? this.square : await greyPng(matte);
        const answer = await ask<Given>("PUT", `portraits/${portrait.id}/${what}`, body);
        this.problem.say("");
        this.showRemarks(answer);
        this.showFramed();
      } catch (error) {
        this.problem.say(lineOf(error));
      }
    });
  }

  // ---- the crop

  private cut(square: Square): void {
    if (this.portrait === null) return;
    this.square = moved(square, 0, 0, this.portrait);
    this.showCrop();
    this.sendCrop();
  }

  private showCrop(): void {
    if (this.portrait === null) return;
    const { left, top, size } = this.square;
    const { width, height } = this.portrait;
    const { style } = this.crop;
    style.left = `${(100 * left) / width}%`;
    style.top = `${(100 * top) / height}%`;
    style.width = `${(100 * size) / width}%`;
    style.height = `${(100 * size) / height}%`;
    for (const name of ["left", "top", "size"] as const) this.fields[name].valueAsNumber = this.square[name];
    const label = `Crop: ${size} pixels, ${left} from the left and ${top} from the top. Arrow keys move it, plus and minus resize it`;
    this.crop.setAttribute("aria-label", label);
  }

  private listenToCrop(): void {
    let grip: { corner: Corner | null; x: number; y: number; square: Square } | null = null;
    this.crop.addEventListener("pointerdown", (event) => {
      const corner = (event.target as HTMLElement).dataset["corner"] ?? null;
      grip = { corner: corner as Corner | null, x: event.clientX, y: event.clientY, square: this.square };
      this.crop.setPointerCapture(event.pointerId);
    });
    this.crop.addEventListener("pointermove", (event) => {
      if (grip === null || this.portrait === null) return;
      const scale = this.portrait.width / this.picture.clientWidth;
      const [dx, dy] = [(event.clientX - grip.x) * scale, (event.clientY - grip.y) * scale];
      const { corner, square } = grip;
      this.cut(corner === null ? moved(square, dx, dy, this.portrait) : pulled(square, corner, dx, dy, this.portrait));
    });
    for (const end of ["pointerup", "pointercancel"]) this.crop.addEventListener(end, () => (grip = null));
    this.crop.addEventListener("keydown", (event) => {
      if (this.portrait === null || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = event.shiftKey ? 1 : Math.max(1, Math.round(this.portrait.width * KEY_STEP));
      const moves: Readonly<Record<string, Square>> = {
        ArrowLeft: moved(this.square, -step, 0, this.portrait),
        ArrowRight: moved(this.square, step, 0, this.portrait),
        ArrowUp: moved(this.square, 0, -step, this.portrait),
        ArrowDown: moved(this.square, 0, step, this.portrait),
        "+": grown(this.square, 2 * step, this.portrait),
        "=": grown(this.square, 2 * step, this.portrait),
        "-": grown(this.square, -2 * step, this.portrait),
      };
      const next = moves[event.key];
      if (next === undefined) return;
      event.preventDefault();
      this.cut(next);
    });
  }

  // ---- the background

  private changedMatte(): void {
    this.showMatte();
    this.sendMatte();
  }

  private showMatte(): void {
    const { matte } = this;
    if (matte === null) return;
    const image = new ImageData(matte.width, matte.height);
    for (let index = 0, at = 0; index < matte.values.length; index++, at += 4) {
      image.data[at] = REMOVED[0];
      image.data[at + 1] = REMOVED[1];
      image.data[at + 2] = REMOVED[2];
      image.data[at + 3] = 0.62 * (255 - matte.values[index]!);
    }
    const context = this.tint.getContext("2d")!;
    context.putImageData(image, 0, 0);
    this.undo.disabled = !matte.canUndo;
  }

  private get brushRadius(): number {
    return (this.radius.value / 100) * (this.matte?.width ?? 0);
  }

  private get brushValue(): 0 | 255 {
    return this.brush.value === "255" ? 255 : 0;
  }

  private listenToBrush(): void {
    let last: Spot | null = null;
    const at = (event: PointerEvent): Spot => {
      const box = this.tint.getBoundingClientRect();
      const scale = this.tint.width / box.width;
      return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
    };
    const paint = (from: Spot, to: Spot): void => {
      this.matte!.stroke(from, to, this.brushRadius, this.brushValue);
      this.cursor = to;
      this.changedMatte();
    };
    this.tint.addEventListener("pointerdown", (event) => {
      if (this.matte === null || !this.tint.classList.contains("at-work")) return;
      this.tint.setPointerCapture(event.pointerId);
      this.matte.begin();
      last = at(event);
      paint(last, last);
    });
    this.tint.addEventListener("pointermove", (event) => {
      if (last === null) return;
      const now = at(event);
      paint(last, now);
      last = now;
    });
    for (const end of ["pointerup", "pointercancel"]) this.tint.addEventListener(end, () => (last = null));
    this.tint.addEventListener("keydown", (event) => {
      if (this.matte === null) return;
      const step = event.shiftKey ? 1 : this.brushRadius;
      const ways: Readonly<Record<string, Spot>> = {
        ArrowLeft: { x: -step, y: 0 }, ArrowRight: { x: step, y: 0 }, ArrowUp: { x: 0, y: -step }, ArrowDown: { x: 0, y: step },
      };
      const way = ways[event.key];
      if (way !== undefined) {
        this.cursor = { x: clamp(this.cursor.x + way.x, 0, this.matte.width), y: clamp(this.cursor.y + way.y, 0, this.matte.height) };
        this.showMatte();
        this.showCursor();
      } else if (event.key === " " || event.key === "Enter") {
        this.matte.begin();
        paint(this.cursor, this.cursor);
        this.showCursor();
      } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) this.undo.click();
      else return;
      event.preventDefault();
    });
  }

  /** Where the keys' brush is. */
  private showCursor(): void {
    const context = this.tint.getContext("2d")!;
    context.lineWidth = Math.max(2, this.tint.width / 200);
    for (const [colour, wider] of [["#fff", 0], ["#000", context.lineWidth]] as const) {
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(this.cursor.x, this.cursor.y, this.brushRadius + wider, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  // ---- dropping

  private listenToDrops(): void {
    const over = (event: DragEvent, on: boolean): boolean => {
      const files = event.dataTransfer?.types.includes("Files") ?? false; // words may be dragged about
      if (files) event.preventDefault(); // the browser would open the file instead of the page
      this.element.classList.toggle("over", files && on);
      return files;
    };
    document.addEventListener("dragover", (event) => over(event, true));
    document.addEventListener("dragleave", (event) => over(event, false));
    document.addEventListener("drop", (event) => {
      if (!over(event, false)) return;
      this.dropped();
      const [file] = event.dataTransfer?.files ?? [];
      if (file !== undefined) void this.take(file);
      else this.problem.say("That was no file. Save the picture first, then drop it.");
    });
  }
}

/** The matte that a picture of grey holds. */
async function matteOf(address: string): Promise<Matte> {
  const image = new Image();
  image.src = address;
  await image.decode();
  const { naturalWidth: width, naturalHeight: height } = image;
  const canvas = element("canvas", { width: String(width), height: String(height) });
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return new Matte(width, height, Uint8Array.from({ length: width * height }, (_, index) => data[4 * index]!));
}

/** A matte as a grey PNG. */
function greyPng(matte: Matte): Promise<Blob> {
  const image = new ImageData(matte.width, matte.height);
  matte.values.forEach((value, index) => image.data.set([value, value, value, 255], 4 * index));
  const canvas = element("canvas", { width: String(matte.width), height: String(matte.height) });
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob === null ? reject(new Error("the background cannot be written")) : resolve(blob)), "image/png");
  });
}
