/** Describing somebody: the prompt, what is understood of it as it is typed, and pickers that write and follow it. */

import { button, element } from "../element";
import { ask, lineOf, Lost, type Attributes, type ModelInfo, type Understanding } from "./api";
import { numberField, Problem, settling, Slider } from "./controls";
import { Pickers } from "./pickers";
import { chipsOf } from "./words";

/** Prompts that show what can be said. */
export const EXAMPLES = [
  "an old man with a white beard and round glasses",
  "a young woman with a red bob and freckles",
  "a smiling child in a yellow hoodie",
  "a man with a blue mohawk, no beard",
];
const SETTLED_MS = 250; // without a key until the prompt is read
const LARGEST_SEED = 2 ** 29 - 1; // the server takes larger ones, though not so large a one for eight avatars

export interface Wish {
  readonly prompt: string;
  readonly seed: number;
  readonly sampling: { readonly steps: number };
}

export function anySeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]! & LARGEST_SEED;
}

export class Describe {
  readonly element: HTMLElement;
  readonly button: HTMLButtonElement;
  private readonly prompt: HTMLTextAreaElement;
  private readonly chips = element("ul", { class: "chips", "aria-label": "What is understood" });
  private readonly drawn = element("ul", { class: "chips", "aria-label": "What chance adds" });
  private readonly summary = element("p", { class: "unseen", role: "status" });
  private readonly problem = new Problem();
  private readonly pickers: Pickers;
  private readonly seed: HTMLInputElement;
  private readonly steps: Slider;
  private asking = new AbortController();

  constructor(
    private readonly model: ModelInfo,
    private readonly draw: (wish: Wish) => void,
  ) {
    this.prompt = element("textarea", {
      id: "prompt", rows: "3", spellcheck: "true", maxlength: String(model.limits["prompt"] ?? 2000),
      placeholder: "a woman with long wavy hair and a green sweater",
    });
    const settled = settling(SETTLED_MS, () => void this.understand());
    this.prompt.addEventListener("input", settled);
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.submit();
    });
    const examples = element("div", { class: "examples", role: "group", "aria-label": "Examples" },
      EXAMPLES.map((example) => button(example, () => this.write(example), "example")));
    this.pickers = new Pickers(model.attributes, (attributes) => void this.describe(attributes));
    const seed = numberField("Seed", { min: "0", max: String(LARGEST_SEED), step: "1", value: String(anySeed()) });
    this.seed = seed.input;
    this.seed.addEventListener("input", settled);
    const dice = button("", () => {
      this.seed.valueAsNumber = anySeed();
      void this.understand();
    }, "dice");
    dice.setAttribute("aria-label", "Another seed");
    dice.title = "Another seed";
    this.steps = new Slider(
      "Care",
      { least: 4, most: Math.max(4, Math.min(model.limits["steps"] ?? 50, 50)), step: 1, value: model.defaults.steps },
      (steps) => `${steps} steps`,
    );
    this.button = button("Draw", () => this.submit(), "primary");
    this.element = element("div", { class: "describe" }, [
      element("label", { class: "field" }, [element("span", {}, ["Who should it be?"]), this.prompt]),
      this.chips, this.drawn, this.summary, this.problem.element,
      this.button,
      element("div", { class: "try" }, [element("h3", {}, ["For example"]), examples]),
      ...(model.attributes.length > 0 ? [element("h3", {}, ["Or choose"]), this.pickers.element] : []),
      element("details", { class: "group" }, [
        element("summary", {}, ["Chance and care"]),
        element("div", { class: "group-inside" }, [
          element("div", { class: "seed" }, [seed.element, dice]),
          element("p", { class: "note" }, ["The seed decides what you leave open. The same words and seed draw the same avatar."]),
          this.steps.element,
        ]),
      ]),
    ]);
  }

  /** Put words into the field. */
  write(prompt: string, seed?: number): void {
    this.prompt.value = prompt;
    if (seed !== undefined) this.seed.valueAsNumber = seed;
    void this.understand();
  }

  private get chosenSeed(): number {
    const seed = this.seed.valueAsNumber;
    return Number.isInteger(seed) && seed >= 0 && seed <= LARGEST_SEED ? seed : 0;
  }

  private submit(): void {
    if (this.button.disabled) return;
    const prompt = this.prompt.value.trim();
    if (prompt === "") {
      this.problem.say("Describe somebody first, or let yourself be surprised.");
      this.prompt.focus();
      return;
    }
    this.problem.say("");
    this.draw({ prompt, seed: this.chosenSeed, sampling: { steps: this.steps.value } });
  }

  /** Read the prompt, and show what is made of it. */
  private async understand(): Promise<void> {
    if (!this.model.understands) return;
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const prompt = this.prompt.value;
    try {
      const found = await ask<Understanding>("POST", "understanding", { prompt, seed: this.chosenSeed }, signal);
      if (signal.aborted) return;
      this.problem.say("");
      this.show(found, prompt);
    } catch (error) {
      if (!signal.aborted && !(error instanceof Lost)) this.problem.say(lineOf(error));
    }
  }

  private show(found: Understanding, prompt: string): void {
    this.pickers.show(found.attributes);
    const chips = prompt.trim() === "" ? [] : chipsOf(found);
    const items = (drawn: boolean): HTMLElement[] =>
      chips.filter(({ kind }) => (kind === "drawn") === drawn).map(({ kind, text, spoken }) =>
        element("li", { class: `chip ${kind}` }, [element("span", { class: "unseen" }, [spoken]), kind === "denied" ? element("s", {}, [text]) : text]));
    this.chips.replaceChildren(...items(false));
    this.drawn.replaceChildren(...items(true));
    this.summary.textContent = prompt.trim() === "" ? "" : found.line;
  }

  /** Write what was picked as a prompt. */
  private async describe(attributes: Attributes): Promise<void> {
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    try {
      const before = this.prompt.value;
      const { prompt } = await ask<{ prompt: string }>("POST", "descriptions", { attributes, prompt: before }, signal);
      if (!signal.aborted) this.write(prompt);
    } catch (error) {
      if (!signal.aborted && !(error instanceof Lost)) this.problem.say(lineOf(error));
    }
  }
}
