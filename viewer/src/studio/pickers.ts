/** A picker for each attribute that the model knows: swatches for colours, sliders for what has an order, else buttons. */

import { button, element } from "../element";
import type { Attribute, Attributes } from "./api";
import { Choice } from "./controls";

/** Attributes that stand together, in the order in which people think of them; what is in none stands under the last. */
const GROUPS: readonly (readonly [string, readonly string[]])[] = [
  ["Person", ["sex", "age", "skin", "eyes", "expression", "freckles", "lighting"]],
  ["Hair and beard", ["hair", "hair_color", "fringe", "beard"]],
  ["Clothes, hat, glasses", ["top", "top_color", "hat", "hat_color", "glasses", "glasses_color", "earrings"]],
  ["Face", ["face_shape"]],
];
const ORDERED = ["age"];
const OPEN = ""; // of a choice that leaves an attribute open
const LEFT_OPEN = "by chance";

interface Picker {
  readonly element: HTMLElement;
  show(value: string | null): void;
}

export class Pickers {
  readonly element = element("div", { class: "pickers" });
  private readonly pickers = new Map<string, Picker>();
  private readonly counts: { readonly names: readonly string[]; readonly badge: HTMLElement }[] = [];
  private attributes: Attributes = {};

  /** @param picked - told of all values after a person has picked one. */
  constructor(
    attributes: readonly Attribute[],
    private readonly picked: (attributes: Attributes) => void,
  ) {
    const known = new Set(GROUPS.flatMap(([, names]) => names));
    const last = GROUPS.length - 1;
    GROUPS.forEach(([title, names], index) => {
      const here = attributes.filter(({ name }) => names.includes(name) || (index === last && !known.has(name)));
      here.sort((a, b) => (names.indexOf(a.name) + 1 || 99) - (names.indexOf(b.name) + 1 || 99));
      if (here.length === 0) return;
      const badge = element("span", { class: "badge" });
      this.counts.push({ names: here.map(({ name }) => name), badge });
      const group = element("details", { class: "group", name: "pickers" }, [element("summary", {}, [title, badge])]);
      const inside = element("div", { class: "group-inside" });
      for (const attribute of here) {
        const picker = this.pickerOf(attribute);
        this.pickers.set(attribute.name, picker);
        inside.append(picker.element);
      }
      group.append(inside);
      this.element.append(group);
    });
    this.show({});
  }

  /** Follow a prompt, without telling anybody. */
  show(attributes: Attributes): void {
    this.attributes = attributes;
    for (const [name, picker] of this.pickers) picker.show(attributes[name] ?? null);
    for (const { names, badge } of this.counts) {
      const count = names.filter((name) => (attributes[name] ?? null) !== null).length;
      badge.textContent = count === 0 ? "" : `${count} chosen`;
    }
  }

  private pick(name: string, value: string | null): void {
    if ((this.attributes[name] ?? null) === value) return;
    this.show({ ...this.attributes, [name]: value });
    this.picked(this.attributes);
  }

  private pickerOf(attribute: Attribute): Picker {
    const { name, label, values } = attribute;
    if (values.length === 2 && values.every(({ value }) => value === "+" || value === "-")) {
      const at = (sign: string): string => values.find(({ value }) => value === sign)!.label;
      return this.scale(name, label, [{ value: "-", label: at("-") }, null, { value: "+", label: at("+") }]);
    }
    if (ORDERED.includes(name)) return this.scale(name, label, values);
    const pick = (value: string): void => this.pick(name, value === OPEN ? null : value);
    const kind = values.every(({ colour }) => Boolean(colour)) ? "swatches" : "buttons";
    const choice = new Choice(label, [{ value: OPEN, label: LEFT_OPEN }, ...values], pick, kind);
    return { element: choice.element, show: (value) => (choice.value = value ?? OPEN) };
  }

  /** A slider over values in their order; null is the place at which nothing is asked for. */
  private scale(name: string, label: string, places: readonly ({ value: string; label: string } | null)[]): Picker {
    const middle = (places.length - 1) / 2;
    const input = element("input", { type: "range", min: "0", max: String(places.length - 1), step: "1" });
    const output = element("span", { class: "slider-value", "aria-hidden": "true" });
    const clear = button("×", () => this.pick(name, null), "quiet");
    clear.setAttribute("aria-label", `${label}: leave it to chance`);
    input.addEventListener("input", () => this.pick(name, places[input.valueAsNumber]?.value ?? null));
    if (!places.includes(null)) input.addEventListener("click", () => this.pick(name, places[input.valueAsNumber]!.value));
    const show = (value: string | null): void => {
      const at = places.findIndex((place) => (place?.value ?? null) === value);
      if (at >= 0) input.valueAsNumber = at;
      else if (value === null) input.valueAsNumber = Math.floor(middle);
      const words = value === null ? LEFT_OPEN : places[at]?.label ?? value;
      output.textContent = words;
      input.setAttribute("aria-valuetext", words);
      input.classList.toggle("unset", value === null);
      clear.hidden = value === null;
    };
    const head = element("span", { class: "slider-head" }, [element("span", {}, [label]), output]);
    return { element: element("div", { class: "scale" }, [element("label", { class: "slider" }, [head, input]), clear]), show };
  }
}
