/** All avatars that a person has drawn, newest first. */

import { button, element } from "../element";
import { ask, lineOf, Lost, type Avatar } from "./api";
import { Problem } from "./controls";
import { pictureOf } from "./stage";
import { noteOf, titleOf } from "./words";

interface Answer {
  readonly avatars: readonly Avatar[];
  readonly next: string | null;
}

export class History {
  readonly element: HTMLElement;
  private readonly list = element("ul", { class: "history-list" });
  private readonly empty = element("p", { class: "note" }, ["What you draw is kept here."]);
  private readonly problem = new Problem();
  private readonly more: HTMLButtonElement;
  private readonly dialog: HTMLDialogElement;
  private readonly question = element("p", {});
  private doomed: Avatar | null = null;
  private next: string | null = null;
  private opened: string | null = null;
  avatars: readonly Avatar[] = [];

  /**
   * @param picked - told of the one that a person opens.
   * @param changed - told after every change, and of the one that was deleted.
   */
  constructor(
    private readonly picked: (avatar: Avatar) => void,
    private readonly changed: (deleted: Avatar | null) => void,
  ) {
    this.more = button("Show more", () => void this.load(this.next));
    const keep = button("Keep it", () => this.dialog.close());
    const remove = button("Delete", () => void this.remove(), "danger");
    this.dialog = element("dialog", { "aria-labelledby": "delete-question" }, [this.question, element("div", { class: "row" }, [keep, remove])]);
    this.question.id = "delete-question";
    this.element = element("section", { class: "history", "aria-labelledby": "history-title" }, [
      element("h2", { id: "history-title" }, ["Your avatars"]), this.problem.element, this.empty, this.list, this.more, this.dialog,
    ]);
    this.draw();
  }

  /** Ask the server anew, or for older ones. */
  async load(cursor: string | null = null): Promise<void> {
    try {
      const path = cursor === null ? "avatars" : `avatars?after=${encodeURIComponent(cursor)}`;
      const { avatars, next } = await ask<Answer>("GET", path);
      this.avatars = cursor === null ? avatars : [...this.avatars, ...avatars];
      this.next = next;
      this.problem.say("");
      this.draw();
      this.changed(null);
    } catch (error) {
      if (!(error instanceof Lost)) this.problem.say(lineOf(error));
    }
  }

  /** Mark the one that is open. */
  mark(id: string | null): void {
    this.opened = id;
    for (const card of this.list.querySelectorAll<HTMLElement>("[data-avatar]")) {
      if (card.dataset["avatar"] === id) card.setAttribute("aria-current", "true");
      else card.removeAttribute("aria-current");
    }
  }

  private draw(): void {
    this.list.replaceChildren(...this.avatars.map((avatar) => this.card(avatar)));
    this.empty.hidden = this.avatars.length > 0;
    this.more.hidden = this.next === null;
    this.mark(this.opened);
  }

  private card(avatar: Avatar): HTMLElement {
    const title = titleOf(avatar);
    const note = noteOf(avatar);
    const open = button("", () => this.picked(avatar), "thumb");
    open.dataset["avatar"] = avatar.id;
    open.append(
      element("img", { src: pictureOf(avatar, 192), alt: "", loading: "lazy", width: "192", height: "192" }),
      element("span", { class: "thumb-title" }, [title]),
      ...(note === "" ? [] : [element("span", { class: "thumb-note" }, [note])]),
    );
    const remove = button("", () => this.ask(avatar), "remove");
    remove.setAttribute("aria-label", `Delete ${title}`);
    remove.title = "Delete";
    return element("li", {}, [open, remove]);
  }

  private ask(avatar: Avatar): void {
    this.doomed = avatar;
    this.question.textContent = `Delete “${titleOf(avatar)}”? Its files go with it.`;
    this.dialog.showModal();
  }

  private async remove(): Promise<void> {
    const { doomed } = this;
    this.dialog.close();
    if (doomed === null) return;
    try {
      await ask("DELETE", `avatars/${doomed.id}`);
      this.avatars = this.avatars.filter(({ id }) => id !== doomed.id);
      this.problem.say("");
      this.draw();
      this.changed(doomed);
      this.element.querySelector("h2")!.scrollIntoView({ block: "nearest" });
    } catch (error) {
      this.problem.say(`It is not deleted: ${lineOf(error)}`);
    }
  }
}
