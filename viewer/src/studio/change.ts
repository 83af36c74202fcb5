/** Changing an avatar: by words, by chance, or by mixing it with another. */

import { button, element } from "../element";
import type { Avatar, ModelInfo } from "./api";
import { Problem, Slider } from "./controls";
import { pictureOf } from "./stage";
import { noteOf, titleOf } from "./words";

const EXAMPLES = ["a full beard", "no glasses", "long white hair", "a red hat"];
const STRENGTH = 1.25; // of `rodin edit`
const RELATIVES = 4;

export interface ChangeWishes {
  edit(prompt: string, strength: number): void;
  vary(count: number): void;
  mix(other: Avatar, part: number): void;
}

export class Change {
  readonly element: HTMLElement;
  readonly buttons: readonly HTMLButtonElement[];
  private readonly problem = new Problem();
  private readonly words: HTMLTextAreaElement;
  private readonly strength: Slider;
  private readonly part: Slider;
  private readonly others = element("div", { class: "others", role: "radiogroup", "aria-label": "Mix with" });
  private readonly nobody = element("p", { class: "note" }, ["Draw a second avatar, and you can mix the two."]);
  private readonly mix: HTMLButtonElement;
  private chosen: Avatar | null = null;

  constructor(
    model: ModelInfo,
    private readonly wishes: ChangeWishes,
  ) {
    this.words = element("textarea", { rows: "2", maxlength: String(model.limits["prompt"] ?? 2000), placeholder: "a full beard and no glasses" });
    this.words.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.edit();
    });
    const examples = element("div", { class: "examples", role: "group", "aria-label": "Examples" },
      EXAMPLES.map((example) => button(example, () => {
        this.words.value = example;
        this.problem.say("");
      }, "example")));
    this.strength = new Slider("How far", { least: 0.25, most: 2.5, step: 0.05, value: STRENGTH },
      (value) => (value < 0.9 ? "a little" : value <= 1.5 ? "as said" : "exaggerated"));
    const edit = button("Change", () => this.edit(), "primary");
    const vary = button("Draw four relatives", () => wishes.vary(RELATIVES));
    this.part = new Slider("How much of the other", { least: 0, most: 100, step: 5, value: 50 }, (value) => `${value} %`);
    this.mix = button("Mix", () => {
      if (this.chosen !== null) wishes.mix(this.chosen, this.part.value / 100);
    });
    this.buttons = [edit, vary, this.mix];
    this.element = element("div", { class: "change" }, [
      element("section", { "aria-label": "By words" }, [
        element("label", { class: "field" }, [element("span", {}, ["What should be different?"]), this.words]),
        examples, this.strength.element, this.problem.element, edit,
      ]),
      element("section", {}, [
        element("h3", {}, ["By chance"]),
        element("p", { class: "note" }, ["The same description, drawn anew."]),
        vary,
      ]),
      element("section", {}, [element("h3", {}, ["Mix with another"]), this.nobody, this.others, this.part.element, this.mix]),
    ]);
    this.show(null, []);
  }

  /** Offer the others of a history. */
  show(avatar: Avatar | null, history: readonly Avatar[]): void {
    const others = history.filter(({ id }) => id !== avatar?.id);
    if (!others.some(({ id }) => id === this.chosen?.id)) this.chosen = others[0] ?? null;
    this.others.replaceChildren(...others.map((other) => {
      const input = element("input", { type: "radio", name: "mix-with", class: "unseen" });
      input.checked = other.id === this.chosen?.id;
      input.addEventListener("change", () => (this.chosen = other));
      const title = [titleOf(other), noteOf(other)].filter(Boolean).join(", ");
      const picture = element("img", { src: pictureOf(other, 128), alt: title, loading: "lazy" });
      return element("label", { class: "other", title }, [input, picture]);
    }));
    const nobody = others.length === 0;
    this.nobody.hidden = !nobody;
    this.others.hidden = this.part.element.hidden = this.mix.hidden = nobody;
  }

  private edit(): void {
    const prompt = this.words.value.trim();
    if (this.buttons[0]!.disabled) return;
    if (prompt === "") {
      this.problem.say("Say first what should be different.");
      this.words.focus();
      return;
    }
    this.problem.say("");
    this.wishes.edit(prompt, this.strength.value);
  }
}
