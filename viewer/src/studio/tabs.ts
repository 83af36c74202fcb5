/** Tabs as screen readers know them: arrows go from one to the next. */

import { element } from "../element";

export interface Page {
  readonly name: string;
  readonly title: string;
  readonly panel: HTMLElement;
}

export class Tabs {
  readonly element: HTMLElement;
  private readonly buttons = new Map<string, HTMLButtonElement>();
  private readonly panels = new Map<string, HTMLElement>();

  /** @param chosen - told when another one is shown. */
  constructor(
    label: string,
    pages: readonly Page[],
    private readonly chosen: (name: string) => void = () => {},
  ) {
    const list = element("div", { class: "tabs", role: "tablist", "aria-label": label });
    for (const { name, title, panel } of pages) {
      const button = element("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}` }, [title]);
      button.addEventListener("click", () => this.choose(name));
      panel.id = `panel-${name}`;
      panel.setAttribute("role", "tabpanel");
      panel.setAttribute("aria-labelledby", `tab-${name}`);
      this.buttons.set(name, button);
      this.panels.set(name, panel);
      list.append(button);
    }
    list.addEventListener("keydown", (event) => this.press(event));
    this.element = element("div", { class: "tabbed" }, [list, ...this.panels.values()]);
    this.choose(pages[0]!.name);
  }

  choose(name: string): void {
    for (const [each, button] of this.buttons) {
      const here = each === name;
      button.setAttribute("aria-selected", String(here));
      button.tabIndex = here ? 0 : -1;
      this.panels.get(each)!.hidden = !here;
    }
    this.chosen(name);
  }

  get shown(): string {
    return [...this.buttons].find(([, button]) => button.getAttribute("aria-selected") === "true")![0];
  }

  /** Have a page, or leave it out. */
  offer(name: string, offered: boolean): void {
    this.buttons.get(name)!.hidden = !offered;
    if (!offered && this.shown === name) this.choose(this.offered()[0]!);
  }

  private offered(): string[] {
    return [...this.buttons].filter(([, button]) => !button.hidden).map(([name]) => name);
  }

  private press(event: KeyboardEvent): void {
    const names = this.offered();
    const at = names.indexOf(this.shown);
    const goes: Readonly<Record<string, number>> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 };
    const to = goes[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = names[(to + names.length) % names.length]!;
    this.choose(name);
    this.buttons.get(name)!.focus();
  }
}
