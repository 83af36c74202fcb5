/** The few kinds of controls that the studio is made of. */

import { element } from "../element";

/** A line that says what went wrong, where it did; hidden while there is nothing to say. */
export class Problem {
  readonly element = element("p", { class: "problem", role: "alert" });

  constructor() {
    this.element.hidden = true;
  }

  say(line: string): void {
    this.element.textContent = line;
    this.element.hidden = line === "";
  }
}

/** A slider with its name before it and its value in words behind. */
export class Slider {
  readonly element: HTMLElement;
  readonly input: HTMLInputElement;
  private readonly output = element("span", { class: "slider-value", "aria-hidden": "true" }); // an output would take the label

  /** @param inWords - what a value is called, shown and spoken. */
  constructor(
    label: string,
    range: { readonly least: number; readonly most: number; readonly step: number; readonly value: number },
    private readonly inWords: (value: number) => string,
    moved: (value: number) => void = () => {},
  ) {
    const { least, most, step, value } = range;
    this.input = element("input", { type: "range", min: String(least), max: String(most), step: String(step), value: String(value) });
    this.input.addEventListener("input", () => {
      this.refresh();
      moved(this.value);
    });
    this.element = element("label", { class: "slider" }, [
      element("span", { class: "slider-head" }, [element("span", {}, [label]), this.output]),
      this.input,
    ]);
    this.refresh();
  }

  get value(): number {
    return this.input.valueAsNumber;
  }

  set value(value: number) {
    this.input.valueAsNumber = value;
    this.refresh();
  }

  private refresh(): void {
    const words = this.inWords(this.value);
    this.output.textContent = words;
    this.input.setAttribute("aria-valuetext", words);
  }
}

export interface Option {
  readonly value: string;
  readonly label: string;
  readonly colour?: string | null;
}

let groups = 0;

/** One of several, as buttons or swatches; radios to keyboards and screen readers. */
export class Choice {
  readonly element: HTMLFieldSetElement;
  private readonly inputs: HTMLInputElement[] = [];

  constructor(
    legend: string,
    options: readonly Option[],
    private readonly chosen: (value: string) => void,
    kind: "buttons" | "swatches" | "segments" = "buttons",
  ) {
    const name = `choice-${groups++}`;
    this.element = element("fieldset", { class: `choice ${kind}` }, [element("legend", {}, [legend])]);
    for (const { value, label, colour } of options) {
      const input = element("input", { type: "radio", name, value, class: "unseen" });
      input.addEventListener("change", () => this.chosen(value));
      const made = element("label", { class: "option" }, [input]);
      if (kind === "swatches") {
        const dot = element("span", { class: "dot" });
        if (colour) dot.style.background = colour;
        else made.classList.add("open");
        made.title = label;
        made.append(dot, element("span", { class: colour ? "unseen" : "" }, [label]));
      } else {
        made.append(element("span", {}, [label]));
      }
      this.inputs.push(input);
      this.element.append(made);
    }
  }

  get value(): string {
    return this.inputs.find((input) => input.checked)?.value ?? "";
  }

  /** Show one, without telling anybody. */
  set value(value: string) {
    for (const input of this.inputs) input.checked = input.value === value;
  }
}

/** A number field with its name above it. */
export function numberField(label: string, attributes: Readonly<Record<string, string>>): { element: HTMLElement; input: HTMLInputElement } {
  const input = element("input", { type: "number", inputmode: "numeric", ...attributes });
  return { element: element("label", { class: "field" }, [element("span", {}, [label]), input]), input };
}

/** A selection from a list with its name above it. */
export function selection(label: string, options: readonly Option[]): { element: HTMLElement; select: HTMLSelectElement } {
  const select = element("select", {}, options.map(({ value, label: text }) => element("option", { value }, [text])));
  return { element: element("label", { class: "field" }, [element("span", {}, [label]), select]), select };
}

/** A function that waits until it has not been asked for a while. */
export function settling(wait: number, act: () => void): () => void {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(act, wait);
  };
}
