/** Taking an avatar away: as a page, a model, a picture or a film. */

import { button, element } from "../element";
import { fileName } from "../file_name";
import { ask, download, follow, lineOf, order, type Avatar, type Job, type ModelInfo } from "./api";
import { numberField, Problem, selection, type Option } from "./controls";
import { progressOf, shareOf, sizeOf, titleOf } from "./words";

type Name = "texture" | "lit" | "faces" | "height" | "millimetres" | "film" | "picture" | "background";

interface Format {
  readonly suffix: string;
  readonly label: string;
  readonly hint: string;
  readonly options: readonly Name[];
}

const FORMATS: readonly Format[] = [
  { suffix: "html", label: "Page", hint: "one HTML file for a friend: turns and recolours, opens by a double click", options: [] },
  { suffix: "glb", label: "GLB", hint: "for Blender, Unity, Unreal, three.js", options: ["texture", "lit", "faces", "height"] },
  { suffix: "obj", label: "OBJ", hint: "with its materials, in a ZIP", options: ["texture", "faces", "height"] },
  { suffix: "ply", label: "PLY", hint: "colours in the vertices", options: ["faces", "height"] },
  { suffix: "usdz", label: "USDZ", hint: "for iPhones, iPads and Macs", options: ["texture", "lit", "faces", "height"] },
  { suffix: "stl", label: "STL", hint: "for 3D printers; no colours", options: ["faces", "millimetres"] },
  { suffix: "png", label: "PNG", hint: "a picture, as you see it now", options: ["picture", "background"] },
  { suffix: "mp4", label: "MP4", hint: "a film: once around", options: ["film"] },
  { suffix: "gif", label: "GIF", hint: "the same for chats", options: ["film"] },
  { suffix: "safetensors", label: "Avatar file", hint: "for Rodin, to go on with it", options: [] },
];
const AT_ONCE = ["png", "safetensors"];
/** What the server calls the options. */
const NAMES: Readonly<Record<Name, string>> = {
  texture: "texture", lit: "lit", faces: "faces", height: "height", millimetres: "height", film: "size", picture: "size", background: "background",
};

/** What is asked of the studio: the avatar as it is shown, with its colours kept, and from where. */
export interface Taken {
  readonly avatar: Avatar;
  readonly azimuth: number;
  readonly elevation: number;
}

export class Take {
  readonly element: HTMLElement;
  private readonly problem = new Problem();
  private readonly rows = element("fieldset", { class: "formats" }, [element("legend", { class: "unseen" }, ["Format"])]);
  private readonly fields: Readonly<Record<Name, { element: HTMLElement; value: () => string }>>;
  private readonly button: HTMLButtonElement;
  private readonly progress = element("progress", { max: "1", "aria-label": "Preparing the file" });
  private readonly saying = element("p", { class: "note", role: "status" });
  private readonly stop: HTMLButtonElement;
  private format: Format;
  private job: string | null = null;

  /** @param wanted - asked for what is to be taken; colours that are not kept yet are kept then. */
  constructor(
    model: ModelInfo,
    private readonly wanted: () => Promise<Taken>,
  ) {
    const list = (label: string, options: readonly Option[]): { element: HTMLElement; value: () => string } => {
      const { element: made, select } = selection(label, options);
      return { element: made, value: () => select.value };
    };
    const number = (label: string, attributes: Readonly<Record<string, string>>): { element: HTMLElement; value: () => string } => {
      const { element: made, input } = numberField(label, attributes);
      return { element: made, value: () => (input.checkValidity() ? input.value : attributes["value"]!) };
    };
    const side = model.limits["picture_side"] ?? 2048;
    const sides = [512, 1024, 2048].filter((size) => size <= side);
    const textures = [1024, 2048].filter((size) => size <= (model.limits["texture"] ?? 2048));
    this.fields = {
      texture: list("Colours", [{ value: "", label: "in the vertices" }, ...textures.map((size) => ({ value: String(size), label: `a texture of ${size}` }))]),
      lit: list("Light", [{ value: "", label: "as drawn" }, { value: "true", label: "by the scene" }]),
      faces: list("Faces", [{ value: "", label: "all" }, ...[20000, 10000, 5000].map((count) => ({ value: String(count), label: count.toLocaleString("en") }))]),
      height: number("Height in metres", { min: "0.01", max: "10", step: "0.01", value: "0.3" }),
      millimetres: number("Height in millimetres", { min: "10", max: "1000", step: "1", value: "150" }),
      film: list("Size", [256, 512].filter((size) => size <= (model.limits["video_side"] ?? 512)).map((size) => ({ value: String(size), label: `${size} pixels` }))),
      picture: list("Size", sides.map((size) => ({ value: String(size), label: `${size} pixels` }))),
      background: list("Background", [
        { value: "transparent", label: "none" }, { value: "ffffff", label: "white" }, { value: "eceef0", label: "light" }, { value: "24282d", label: "dark" },
      ]),
    };
    const formats = FORMATS.filter(({ suffix }) => AT_ONCE.includes(suffix) || model.formats.includes(suffix)).map((format) => ({
      ...format,
      options: format.options.filter((name) => AT_ONCE.includes(format.suffix) || model.options[NAMES[name]]?.includes(format.suffix)),
    }));
    this.format = formats[0]!;
    for (const format of formats) {
      const input = element("input", { type: "radio", name: "format", value: format.suffix });
      input.checked = format === this.format;
      input.addEventListener("change", () => this.choose(format));
      this.rows.append(element("label", { class: "format" }, [
        input, element("strong", {}, [format.label]), element("span", { class: "note" }, [format.hint]),
      ]));
    }
    this.button = button("Download", () => void this.take(), "primary");
    this.stop = button("Cancel", () => {
      if (this.job !== null) void ask("DELETE", `jobs/${this.job}`).catch(() => undefined);
    });
    this.element = element("div", { class: "take" }, [
      this.rows,
      element("div", { class: "options" }, Object.values(this.fields).map((field) => field.element)),
      this.button, this.problem.element, this.saying, this.progress, this.stop,
    ]);
    this.choose(this.format);
    this.rest();
  }

  private choose(format: Format): void {
    this.format = format;
    for (const [name, field] of Object.entries(this.fields)) field.element.hidden = !format.options.includes(name as Name);
    this.problem.say("");
    this.saying.textContent = "";
  }

  private rest(): void {
    this.job = null;
    this.button.disabled = false;
    this.progress.hidden = this.stop.hidden = true;
  }

  private async take(): Promise<void> {
    const { suffix, label } = this.format;
    this.problem.say("");
    this.saying.textContent = "Preparing the file";
    this.button.disabled = true;
    this.progress.hidden = false;
    this.progress.removeAttribute("value");
    try {
      const { avatar, azimuth, elevation } = await this.wanted();
      const query = this.query();
      let address = `avatars/${avatar.id}.${suffix}`;
      if (suffix === "png") {
        query.set("azimuth", azimuth.toFixed(2));
        query.set("elevation", elevation.toFixed(2));
      }
      if (AT_ONCE.includes(suffix)) {
        if (query.size > 0) address += `?${query}`;
      } else {
        const done = await this.prepared(avatar, suffix, query);
        if (done.state === "cancelled") {
          this.saying.textContent = "Cancelled";
          this.rest();
          return;
        }
        if (done.state === "failed" || !done.file) throw new Error(done.error ?? "the file was not made");
        address = done.file;
      }
      const blob = await download(address);
      const suffixes: Readonly<Record<string, string>> = { obj: "zip", safetensors: "rodin.safetensors" };
      const name = fileName(titleOf(avatar), suffixes[suffix] ?? suffix);
      save(blob, name);
      this.saying.textContent = `Saved ${name}, ${sizeOf(blob.size)}`;
    } catch (error) {
      this.saying.textContent = "";
      this.problem.say(`No ${label}: ${lineOf(error)}`);
    }
    this.rest();
  }

  private async prepared(avatar: Avatar, suffix: string, query: URLSearchParams): Promise<Job> {
    const options = Object.fromEntries([...query].map(([name, value]) => [name, value === "true" ? true : Number(value)]));
    const job = await order(`avatars/${avatar.id}/files`, { format: suffix, ...options });
    this.job = job;
    this.stop.hidden = false;
    return follow(job, (now) => {
      this.saying.textContent = now.state === "waiting" ? progressOf(now) : "Preparing the file";
      const share = shareOf(now);
      if (share === null) this.progress.removeAttribute("value");
      else this.progress.value = share;
    });
  }

  private query(): URLSearchParams {
    const query = new URLSearchParams();
    for (const option of this.format.options) {
      const value = this.fields[option].value();
      if (value !== "") query.set(NAMES[option], value);
    }
    return query;
  }
}

function save(blob: Blob, name: string): void {
  const address = URL.createObjectURL(blob);
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
