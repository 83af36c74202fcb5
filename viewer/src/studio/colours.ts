/** The wheels of an avatar's materials, and keeping what they made. */

import { toHex } from "../colour";
import { button, element } from "../element";
import { wheels } from "../panel";
import type { Viewer } from "../viewer";

export class Colours {
  readonly element = element("div", { class: "colours" });
  private readonly keep: HTMLButtonElement;
  private readonly hint = element("p", { class: "note" });
  private viewer: Viewer | null = null;
  private part: ReturnType<typeof wheels> | null = null;

  /** @param kept - asked to save the colours. */
  constructor(kept: () => void) {
    this.keep = button("Keep these colours", kept, "primary");
  }

  /** Have wheels for another avatar. @returns whether it has any. */
  show(viewer: Viewer | null): boolean {
    this.viewer = viewer;
    this.part = viewer !== null && viewer.avatar.wheels.length > 0 ? wheels(viewer) : null;
    this.element.replaceChildren(...(this.part === null ? [] : [this.part.element, this.keep, this.hint]));
    this.refresh();
    return this.part !== null;
  }

  refresh(): void {
    this.part?.refresh();
    const changed = Object.keys(this.changed).length > 0;
    this.keep.disabled = !changed;
    this.hint.textContent = changed
      ? "Kept colours make a new avatar beside this one."
      : "Colours change while you turn the wheel. Shade and light stay.";
  }

  /** By material the colours that are not what they were. */
  get changed(): Record<string, string> {
    const found: Record<string, string> = {};
    this.viewer?.avatar.materials.forEach((material, index) => {
      const colour = toHex(this.viewer!.palette[index]!);
      if (colour !== toHex(this.viewer!.avatar.palette[index]!)) found[material] = colour;
    });
    return found;
  }
}
