/**
 * A colour wheel: hue around, saturation outwards, and sliders of the same for keyboards and screen readers.
 */

import type { Colour } from "./avatar";
import { clamp } from "./camera";
import { fromHex, fromHsv, toHex, toHsv, type Hsv } from "./colour";
import { element } from "./element";

export class Wheel {
  readonly element: HTMLElement;
  private readonly disc: HTMLElement;
  private readonly sliders: Readonly<Record<keyof Hsv, HTMLInputElement>>;
  private readonly text: HTMLInputElement;
  private colour: Hsv = { hue: 0, saturation: 0, value: 0 };

  /** @param picked - told of every colour that a person picks, at once. */
  constructor(private readonly picked: (colour: Colour) => void) {
    this.disc = element("div", { class: "rv-disc", "aria-hidden": "true" }, [element("span", { class: "rv-spot" })]);
    this.sliders = { hue: slider(359), saturation: slider(100), value: slider(100) };
    this.text = element("input", { type: "text", spellcheck: "false", autocomplete: "off", maxlength: "7", size: "8" });
    const rows = (["hue", "saturation", "value"] as const).map((name) =>
      element("label", { class: `rv-slider rv-${name}` }, [
        element("span", {}, [{ hue: "Hue", saturation: "Strength", value: "Brightness" }[name]]),
        this.sliders[name],
      ]),
    );
    const code = element("label", { class: "rv-slider" }, [element("span", {}, ["Code"]), this.text]);
    this.element = element("div", { class: "rv-wheel" }, [this.disc, element("div", { class: "rv-sliders" }, [...rows, code])]);
    for (const input of Object.values(this.sliders)) {
      input.addEventListener("input", () => {
        const { hue, saturation, value } = this.sliders;
        this.pick({ hue: hue.valueAsNumber, saturation: saturation.valueAsNumber / 100, value: value.valueAsNumber / 100 });
      });
    }
    this.text.addEventListener("input", () => {
      const colour = fromHex(this.text.value);
      this.text.setAttribute("aria-invalid", String(colour === null));
      if (colour !== null) this.pick(toHsv(colour), true);
    });
    this.text.addEventListener("blur", () => {
      this.text.setAttribute("aria-invalid", "false");
      this.draw(false);
    });
    this.disc.addEventListener("pointerdown", (event) => {
      this.disc.setPointerCapture(event.pointerId);
      this.point(event);
    });
    this.disc.addEventListener("pointermove", (event) => {
      if (this.disc.hasPointerCapture(event.pointerId)) this.point(event);
    });
  }

  /** Show a colour, without telling anybody. */
  show(colour: Colour): void {
    const next = toHsv(colour);
    if (toHex(fromHsv(this.colour)) !== toHex(colour)) {
      this.colour = { ...next, hue: next.saturation === 0 ? this.colour.hue : next.hue }; // grey keeps its hue
    }
    this.draw(document.activeElement === this.text); // what is being typed stays
  }

  private pick(colour: Hsv, typed = false): void {
    this.colour = colour;
    this.draw(typed);
    this.picked(fromHsv(colour));
  }

  private point(event: PointerEvent): void {
    const box = this.disc.getBoundingClientRect();
    const x = (2 * (event.clientX - box.left)) / box.width - 1;
    const y = (2 * (event.clientY - box.top)) / box.height - 1;
    const hue = ((Math.atan2(x, -y) * 180) / Math.PI + 360) % 360;
    // a dark colour shows no hue: who points at one wants to see it
    this.pick({ hue, saturation: clamp(Math.hypot(x, y), 0, 1), value: Math.max(this.colour.value, 0.25) });
  }

  private draw(typed: boolean): void {
    const { hue, saturation, value } = this.colour;
    this.sliders.hue.valueAsNumber = Math.round(hue);
    this.sliders.saturation.valueAsNumber = Math.round(saturation * 100);
    this.sliders.value.valueAsNumber = Math.round(value * 100);
    const colour = fromHsv(this.colour);
    if (!typed) this.text.value = toHex(colour);
    const angle = (hue * Math.PI) / 180;
    const { style } = this.element;
    style.setProperty("--rv-x", String(0.5 + 0.5 * saturation * Math.sin(angle)));
    style.setProperty("--rv-y", String(0.5 - 0.5 * saturation * Math.cos(angle)));
    style.setProperty("--rv-value", String(value));
    style.setProperty("--rv-colour", toHex(colour));
    style.setProperty("--rv-full", toHex(fromHsv({ hue, saturation: 1, value })));
    style.setProperty("--rv-bright", toHex(fromHsv({ hue, saturation, value: 1 })));
    style.setProperty("--rv-grey", toHex([value, value, value]));
  }
}

function slider(most: number): HTMLInputElement {
  return element("input", { type: "range", min: "0", max: String(most), step: "1" });
}
