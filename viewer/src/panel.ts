/** A viewer with all that people steer it by: the picture, its buttons, and a wheel for each material that it shows. */

import type { Avatar } from "./avatar";
import { toHex } from "./colour";
import { button, element } from "./element";
import { fileName } from "./file_name";
import { BACKGROUNDS, Viewer, type Background, type Quality } from "./viewer";
import { Wheel } from "./wheel";
import "./style.css";

export interface MountOptions {
  /** Above the controls, instead of the avatar's title; "" leaves it out. */
  readonly title?: string;
  /** Whether the page is the avatar's alone, so that wheel and finger are its own; by default what is in no frame. */
  readonly alone?: boolean;
}

const PICTURE_SIZE = 1024;

let mounted = 0;

/** Show an avatar in an element, with its controls. @throws Error where the browser has no WebGL 2. */
export function mount(host: HTMLElement, avatar: Avatar, options: MountOptions = {}): Viewer {
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const alone = options.alone ?? window.top === window;
  const title = options.title ?? (alone ? avatar.title : ""); // what frames it says what it is
  const canvas = element("canvas", { class: "rv-canvas" });
  const status = element("p", { class: "rv-hidden", role: "status" });
  let refresh = (): void => {};
  const viewer = new Viewer(canvas, avatar, {
    label: avatar.title,
    turning: !still,
    alone,
    changed: (message) => {
      if (message !== "") status.textContent = message;
      refresh();
    },
  });
  const stage = element("div", { class: "rv-stage" }, [canvas]);
  const tools = toolbar(viewer, stage, status);
  const colours = avatar.wheels.length > 0 ? wheels(viewer) : null;
  refresh = () => {
    tools.refresh();
    colours?.refresh();
  };
  const side = element("div", { class: "rv-side" });
  if (title !== "") side.append(element("h1", { class: "rv-title" }, [title]));
  if (colours !== null) side.append(colours.element);
  side.append(tools.element, status);
  refresh(); // asks how fast the machine is: a driver that refuses leaves the page as it was
  host.classList.add("rv");
  host.classList.toggle("rv-plain", avatar.wheels.length === 0);
  host.replaceChildren(stage, side);
  return viewer;
}

/** What is shown, and what brings it up to date. */
export interface Part {
  readonly element: HTMLElement;
  refresh(): void;
}

/** A wheel for each material that an avatar shows. */
export function wheels(viewer: Viewer): Part {
  const { avatar } = viewer;
  const name = `rv-material-${mounted++}`;
  let chosen = avatar.wheels[0]!;
  const wheel = new Wheel((colour) => {
    if (viewer.map) viewer.map = false;
    viewer.recolour(chosen.material, colour);
  });
  const chips = avatar.wheels.map((entry, index) => {
    const input = element("input", { type: "radio", name, value: entry.material, class: "rv-hidden" });
    input.checked = index === 0;
    input.addEventListener("change", () => choose(entry));
    const dot = element("span", { class: "rv-dot" });
    return { entry, dot, element: element("label", { class: "rv-chip" }, [input, dot, entry.label]) };
  });
  const legend = element("legend", {}, ["Colours"]);
  const which = element("h2", { class: "rv-which" });
  const back = button("As it was", () => {
    const index = avatar.materials.indexOf(chosen.material);
    viewer.recolour(chosen.material, avatar.palette[index]!);
  });
  const refresh = (): void => {
    for (const chip of chips) chip.dot.style.background = toHex(viewer.colourOf(chip.entry.material));
    const index = avatar.materials.indexOf(chosen.material);
    back.disabled = toHex(avatar.palette[index]!) === toHex(viewer.colourOf(chosen.material));
    wheel.show(viewer.colourOf(chosen.material));
  };
  const choose = (entry: (typeof avatar.wheels)[number]): void => {
    chosen = entry;
    which.textContent = entry.label;
    wheel.element.setAttribute("aria-label", `Colour of ${entry.label.toLowerCase()}`);
    refresh();
  };
  wheel.element.setAttribute("role", "group");
  choose(chosen);
  const shown = element("section", { class: "rv-colours", "aria-label": "Colours" }, [
    element("fieldset", { class: "rv-chips" }, [legend, ...chips.map((chip) => chip.element)]),
    element("div", { class: "rv-head" }, [which, back]),
    wheel.element,
  ]);
  return { element: shown, refresh };
}

/** The buttons and lists that say how an avatar is shown on a stage. @param status - where is said what was done. */
export function toolbar(viewer: Viewer, stage: HTMLElement, status: HTMLElement): Part {
  const { avatar } = viewer;
  let background: Background = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const turn = toggle("Turn", () => (viewer.turning = !viewer.turning));
  const front = button("Front", () => {
    viewer.turning = false;
    viewer.view = viewer.front();
  });
  const map = toggle("Materials", () => (viewer.map = !viewer.map));
  const picture = button("Picture", () => void save());
  const save = async (): Promise<void> => {
    picture.disabled = true;
    status.textContent = "drawing the picture";
    try {
      const blob = await viewer.picture(PICTURE_SIZE, BACKGROUNDS[background]);
      const address = URL.createObjectURL(blob);
      element("a", { href: address, download: fileName(avatar.title, "png") }).click();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
      status.textContent = "the picture is saved";
    } catch (error) {
      status.textContent = error instanceof Error ? error.message : String(error);
    }
    picture.disabled = false;
  };
  const behind = choice(
    "Background",
    { light: "Light", dark: "Dark", none: "Transparent" },
    (value) => show(value as Background),
  );
  const show = (value: Background): void => {
    background = value;
    stage.dataset["background"] = value;
    behind.select.value = value;
  };
  show(background);
  const quality = choice("Drawing", { auto: "", exact: "Exact", baked: "Baked" }, (value) => (viewer.quality = value as Quality));
  const automatic = quality.select.options[0]!;
  const tools = element("div", { class: "rv-tools", role: "group", "aria-label": "Picture" }, [
    element("div", { class: "rv-buttons" }, [turn, front, ...(avatar.palette.length > 0 ? [map] : []), picture]),
    element("div", { class: "rv-choices" }, [behind.element, quality.element]),
  ]);
  return {
    element: tools,
    refresh: () => {
      turn.setAttribute("aria-pressed", String(viewer.turning));
      map.setAttribute("aria-pressed", String(viewer.map));
      quality.select.value = viewer.quality;
      automatic.textContent = viewer.quality === "auto" ? `Auto (${viewer.method})` : "Automatic";
    },
  };
}

function toggle(label: string, press: () => void): HTMLButtonElement {
  const made = button(label, press);
  made.setAttribute("aria-pressed", "false");
  return made;
}

function choice(
  label: string,
  values: Readonly<Record<string, string>>,
  chosen: (value: string) => void,
): { element: HTMLElement; select: HTMLSelectElement } {
  const select = element("select", {}, Object.entries(values).map(([value, text]) => element("option", { value }, [text])));
  select.addEventListener("change", () => chosen(select.value));
  return { element: element("label", { class: "rv-choice" }, [element("span", {}, [label]), select]), select };
}
