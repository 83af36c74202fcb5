/** The middle of the studio: the avatar, or what is being drawn, or a strip to choose from, or before and after. */

import { readAvatar } from "../avatar";
import { button, element } from "../element";
import { toolbar } from "../panel";
import type { Method } from "../renderer";
import { Viewer } from "../viewer";
import { download, lineOf, type Avatar, type Job } from "./api";
import { Problem, Slider } from "./controls";
import { noteOf, progressOf, shareOf, titleOf } from "./words";

const COMPARED_SIZE = 512;

export class Stage {
  readonly element: HTMLElement;
  readonly problem = new Problem();
  private readonly square = element("div", { class: "rv-stage" });
  private readonly over = element("div", { class: "over" });
  private readonly tools = element("div", { class: "stage-tools" });
  private readonly status = element("p", { class: "unseen", role: "status" });
  private readonly heading = element("h2", { class: "avatar-title", tabindex: "-1" });
  private readonly note = element("p", { class: "avatar-note" });
  private readonly facts = element("dl", { class: "facts" });
  private readonly compare: HTMLButtonElement;
  private readonly caption: HTMLElement;
  private readonly progress = element("progress", { max: "1", "aria-label": "Drawing" });
  private readonly saying = element("p", { class: "saying", role: "status" });
  private readonly preview = element("img", { class: "preview", alt: "" });
  private readonly drawing: HTMLElement;
  private readonly stop: HTMLButtonElement;
  private canvas: HTMLCanvasElement | null = null;
  private shown: Avatar | null = null;
  private opening = 0;
  private method: Method | undefined;
  /** What draws the avatar that is shown; null while there is none, or where the browser cannot. */
  viewer: Viewer | null = null;

  /**
   * @param mounted - told of a new viewer, or that there is none.
   * @param refresh - told when anything but the view has changed.
   */
  constructor(
    private readonly mounted: (viewer: Viewer | null) => void,
    private readonly refresh: () => void,
    cancel: () => void,
  ) {
    this.compare = button("Before and after", () => this.showComparison(), "quiet");
    this.stop = button("Cancel", cancel);
    this.drawing = element("div", { class: "drawing" }, [
      this.preview, element("div", { class: "drawing-words" }, [this.saying, this.progress, this.stop]),
    ]);
    this.caption = element("div", { class: "caption" }, [
      element("div", { class: "caption-head" }, [this.heading, this.compare]), this.note, this.facts,
    ]);
    this.square.append(this.over);
    this.element = element("section", { class: "stage", "aria-label": "The avatar" }, [
      this.square, this.problem.element, this.tools, this.caption, this.status,
    ]);
    this.showNothing();
  }

  get avatar(): Avatar | null {
    return this.shown;
  }

  showNothing(): void {
    this.close();
    this.cover(
      element("div", { class: "empty" }, [
        element("span", { class: "bust", "aria-hidden": "true" }),
        element("p", {}, ["Describe somebody, drop a portrait, or be surprised."]),
        element("p", { class: "note" }, ["What you draw turns here under your finger."]),
      ]),
    );
  }

  /** Show how far a job is, over what was there. */
  showJob(job: Job): void {
    const words = progressOf(job);
    if (this.saying.textContent !== words) this.saying.textContent = words;
    const share = shareOf(job);
    if (share === null) this.progress.removeAttribute("value");
    else this.progress.value = share;
    if (this.drawing.parentElement !== this.over) {
      this.problem.say("");
      this.preview.removeAttribute("src");
      this.stop.disabled = false;
      this.cover(this.drawing);
    }
    if (job.preview !== null && this.preview.getAttribute("src") !== job.preview) this.preview.src = job.preview;
  }

  /** A job has ended without an avatar: what was there before is there again. */
  uncover(): void {
    if (this.shown === null) this.showNothing();
    else if (this.viewer === null) this.cover(posterOf(this.shown));
    else this.cover();
  }

  /** Avatars to choose one from. */
  showStrip(avatars: readonly Avatar[], words: string, picked: (avatar: Avatar) => void): void {
    this.close();
    const cards = avatars.map((avatar, index) => {
      const card = button("", () => picked(avatar), "card");
      card.append(element("img", { src: pictureOf(avatar, 256), alt: "", loading: "lazy" }));
      card.setAttribute("aria-label", `Number ${index + 1} of ${avatars.length}: ${titleOf(avatar)}`);
      return card;
    });
    this.cover(element("div", { class: "strip" }, [
      element("p", { tabindex: "-1", class: "strip-words" }, [words]),
      element("div", { class: "strip-cards" }, cards),
    ]));
    this.over.querySelector<HTMLElement>(".strip-words")!.focus({ preventScroll: true });
  }

  /** Open an avatar. @param keepView - whether it is seen from where the one before was. */
  async show(avatar: Avatar, keepView = false): Promise<void> {
    const turn = ++this.opening;
    const view = keepView ? this.viewer?.view : undefined;
    this.problem.say("");
    this.describe(avatar);
    this.cover(posterOf(avatar));
    try {
      const bytes = new Uint8Array(await (await download(avatar.links.viewer)).arrayBuffer());
      const read = await readAvatar(bytes);
      if (turn !== this.opening) return;
      this.drop();
      this.shown = avatar;
      this.mount(read, titleOf(avatar));
      if (view !== undefined) this.viewer!.view = view;
      this.cover();
    } catch (error) {
      if (turn !== this.opening) return;
      this.drop();
      this.shown = avatar; // its picture stays, and all that needs no turning
      this.problem.say(`It cannot be turned here: ${lineOf(error).toLowerCase()}.`);
    }
    this.mounted(this.viewer);
    this.heading.focus({ preventScroll: true });
  }

  private mount(read: Awaited<ReturnType<typeof readAvatar>>, label: string): void {
    const canvas = element("canvas", { class: "rv-canvas" });
    let renew = (): void => {};
    const viewer = new Viewer(canvas, read, {
      label,
      turning: false,
      alone: false,
      ...(this.method === undefined ? {} : { method: this.method }),
      changed: (message) => {
        if (message !== "") this.status.textContent = message;
        renew();
        this.refresh();
      },
    });
    const tools = toolbar(viewer, this.square, this.status);
    renew = () => tools.refresh();
    this.square.prepend(canvas);
    tools.refresh();
    if (viewer.quality === "auto") this.method = viewer.method;
    this.tools.replaceChildren(tools.element);
    this.canvas = canvas;
    this.viewer = viewer;
  }

  private describe(avatar: Avatar): void {
    this.heading.textContent = titleOf(avatar);
    const note = noteOf(avatar);
    this.note.textContent = note;
    this.note.hidden = note === "";
    this.compare.hidden = avatar.parent === null;
    const facts: [string, string][] = [
      ["Understood", avatar.understood.replace(/^understood: /, "").replace(/; not read: .*/, "")],
      ["By chance", avatar.drawn.map(({ label }) => label).join(", ")],
      ["Not read", avatar.unread.join(", ")],
      ["Seed", String(avatar.seed)],
    ];
    this.facts.replaceChildren(...facts.flatMap(([name, text]) =>
      text !== "" ? [element("div", {}, [element("dt", {}, [name]), element("dd", {}, [text])])] : []));
    this.caption.hidden = false;
  }

  // ---- before and after

  private showComparison(): void {
    const { shown } = this;
    if (shown === null || shown.parent === null) return;
    const view = this.viewer?.view ?? { azimuth: 0, elevation: 2 };
    const address = (id: string): string =>
      `avatars/${id}.png?size=${COMPARED_SIZE}&azimuth=${view.azimuth.toFixed(1)}&elevation=${view.elevation.toFixed(1)}`;
    const before = element("img", { src: address(shown.parent), alt: "Before", class: "before" });
    const after = element("img", { src: address(shown.id), alt: "After", class: "after" });
    const pair = element("div", { class: "pair" }, [before, after,
      element("span", { class: "tag left", "aria-hidden": "true" }, ["before"]),
      element("span", { class: "tag right", "aria-hidden": "true" }, ["after"]),
      element("span", { class: "seam", "aria-hidden": "true" })]);
    const slide = (value: number): void => pair.style.setProperty("--cut", `${value}%`);
    const slider = new Slider("Before or after", { least: 0, most: 100, step: 1, value: 50 },
      (value) => (value <= 2 ? "after" : value >= 98 ? "before" : `${value} % before`), slide);
    slide(50);
    pair.addEventListener("pointerdown", (event) => pair.setPointerCapture(event.pointerId));
    pair.addEventListener("pointermove", (event) => {
      if (!pair.hasPointerCapture(event.pointerId)) return;
      const box = pair.getBoundingClientRect();
      slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
      slide(slider.value);
    });
    before.addEventListener("error", () => {
      this.uncover();
      this.problem.say("What it was before is not there any more.");
    });
    const flip = button("Flip", () => {
      slider.value = slider.value > 50 ? 0 : 100;
      slide(slider.value);
    });
    const done = button("Turn it again", () => this.uncover());
    this.cover(element("div", { class: "comparison" }, [pair, element("div", { class: "comparison-tools" }, [slider.element, flip, done])]));
    slider.input.focus({ preventScroll: true });
  }

  // ---- what is in the square

  /** Lay something over the canvas, or nothing. */
  private cover(...inside: readonly HTMLElement[]): void {
    this.over.replaceChildren(...inside);
    const hides = inside.length > 0;
    this.over.hidden = !hides;
    if (this.canvas !== null) this.canvas.inert = hides;
    this.tools.inert = hides;
    this.tools.hidden = this.viewer === null;
    this.compare.disabled = hides;
  }

  /** Nothing is open. */
  private close(): void {
    this.opening++;
    this.drop();
    this.shown = null;
    this.problem.say("");
    this.caption.hidden = true;
    this.mounted(null);
  }

  private drop(): void {
    this.viewer?.dispose();
    this.canvas?.remove();
    this.viewer = this.canvas = null;
    this.tools.replaceChildren();
  }
}

function posterOf(avatar: Avatar): HTMLElement {
  return element("img", { class: "poster", src: pictureOf(avatar, COMPARED_SIZE), alt: `${titleOf(avatar)}, from the front` });
}

/** The address of an avatar's picture. */
export function pictureOf(avatar: Avatar, size: number): string {
  return `avatars/${avatar.id}.png?size=${size}`;
}
