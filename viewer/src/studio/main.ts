/** The studio: somebody is made on the left, stands in the middle, is changed and taken away on the right. */

import { button, element } from "../element";
import { ask, follow, lineOf, onConnection, order, Refused, type Avatar, type Job, type ModelInfo } from "./api";
import { Change } from "./change";
import { Colours } from "./colours";
import { anySeed, Describe } from "./describe";
import { History } from "./history";
import { PortraitPage } from "./portrait";
import { Stage } from "./stage";
import { Tabs } from "./tabs";
import { Take, type Taken } from "./take";
import "../style.css";
import "./studio.css";

const STRIP = 8;
const UNDER_WAY = "rodin-job"; // where the page remembers what it waits for, so that a reload goes on

class Studio {
  private readonly stage: Stage;
  private readonly colours: Colours;
  private readonly change: Change;
  private readonly history: History;
  private readonly make: Tabs;
  private readonly about: Tabs;
  private readonly aside: HTMLElement;
  private readonly drawers: HTMLButtonElement[];
  private job: string | null = null;

  constructor(
    private readonly host: HTMLElement,
    private readonly model: ModelInfo,
  ) {
    const describe = new Describe(model, ({ prompt, seed, sampling }) => void this.draw("avatars", { kind: "prompt", prompt, seed, sampling }));
    const portrait = new PortraitPage(model.limits["upload_bytes"] ?? 2e7, () => this.make.choose("portrait"), (wish) => void this.draw("avatars", { kind: "portrait", ...wish, seed: 0 }));
    const surprise = button("Surprise me", () => void this.surprise(), "primary");
    this.make = new Tabs("Make an avatar", [
      { name: "describe", title: "Describe", panel: describe.element },
      { name: "portrait", title: "Portrait", panel: portrait.element },
      { name: "surprise", title: "Surprise me", panel: element("div", { class: "surprise" }, [
        element("p", {}, ["Eight people whom nobody has described. Choose one, and it is drawn with more care."]), surprise,
      ]) },
    ]);
    this.colours = new Colours(() => void this.keep());
    this.change = new Change(model, {
      edit: (prompt, strength) => void this.edit(prompt, strength),
      vary: (count) => void this.onShown((avatar) => this.draw("avatars", { kind: "vary", avatar: avatar.id, count, seed: anySeed() })),
      mix: (other, part) => void this.onShown((avatar) => this.draw("avatars", { kind: "mix", first: avatar.id, second: other.id, part }, true)),
    });
    const take = new Take(model, () => this.taken());
    this.about = new Tabs("This avatar", [
      { name: "colours", title: "Colours", panel: this.colours.element },
      { name: "change", title: "Change", panel: this.change.element },
      { name: "take", title: "Download", panel: take.element },
    ]);
    this.stage = new Stage(
      (viewer) => this.mounted(this.colours.show(viewer)),
      () => this.colours.refresh(),
      () => void this.cancel(),
    );
    this.history = new History(
      (avatar) => void this.open(avatar),
      (deleted) => {
        if (deleted !== null && deleted.id === this.stage.avatar?.id) this.stage.showNothing();
        this.change.show(this.stage.avatar, this.history.avatars);
      },
    );
    this.drawers = [describe.button, portrait.button, surprise, ...this.change.buttons];
    this.aside = element("section", { class: "about", "aria-label": "This avatar" }, [this.about.element]);
    this.aside.hidden = true;
    this.host.replaceChildren(
      element("header", {}, [
        element("h1", {}, ["Rodin"]),
        element("p", { class: "lead" }, ["Heads in three dimensions, from words, portraits or chance."]),
      ]),
      element("main", {}, [
        element("section", { class: "make", "aria-label": "Make an avatar" }, [this.make.element]),
        this.stage.element,
        this.aside,
        this.history.element,
      ]),
      element("footer", {}, [
        element("span", {}, [`Model ${model.name}`]),
        element("a", { href: "docs" }, ["For programs: the API"]),
      ]),
    );
  }

  /** Go on where the page was left. */
  async start(): Promise<void> {
    await this.history.load();
    const job = sessionStorage.getItem(UNDER_WAY);
    const opened = this.history.avatars.find(({ id }) => `#${id}` === location.hash);
    if (opened !== undefined) await this.open(opened);
    if (job !== null) await this.watch(job, false);
    onConnection((lost) => {
      if (!lost) void this.history.load();
    });
  }

  private mounted(hasWheels: boolean): void {
    if (this.aside === undefined) return; // while all is being made
    const { avatar } = this.stage;
    const first = this.aside.hidden;
    this.aside.hidden = avatar === null;
    this.about.offer("colours", hasWheels);
    if (first && avatar !== null) this.about.choose(hasWheels ? "colours" : "change");
    this.history.mark(avatar?.id ?? null);
    this.change.show(avatar, this.history.avatars);
    window.history.replaceState(null, "", avatar === null ? location.pathname + location.search : `#${avatar.id}`);
  }

  private async open(avatar: Avatar, keepView = false): Promise<void> {
    if (matchMedia("(max-width: 46rem)").matches) this.stage.element.scrollIntoView({ block: "start" });
    await this.stage.show(avatar, keepView);
  }

  private async onShown(act: (avatar: Avatar) => Promise<void>): Promise<void> {
    if (this.stage.avatar !== null) await act(this.stage.avatar);
  }

  /** Ask for a drawing, and show it when it is done. */
  private async draw(path: string, wish: object, keepView = false): Promise<void> {
    if (this.job !== null) return;
    this.busy(true);
    this.stage.problem.say("");
    if (matchMedia("(max-width: 46rem)").matches) this.stage.element.scrollIntoView({ block: "start" });
    try {
      await this.watch(await order(path, wish), keepView);
    } catch (error) {
      this.stage.uncover();
      this.stage.problem.say(lineOf(error));
      this.busy(false);
    }
  }

  private async watch(id: string, keepView: boolean): Promise<void> {
    this.job = id;
    this.busy(true);
    sessionStorage.setItem(UNDER_WAY, id);
    try {
      this.finished(await follow(id, (job) => this.stage.showJob(job)), keepView);
    } catch (error) {
      this.stage.uncover();
      if (error instanceof Refused && error.status === 404) {
        this.stage.problem.say("The studio was started anew, and what it was drawing is gone. Draw it once more.");
      } else this.stage.problem.say(lineOf(error));
    }
    this.job = null;
    sessionStorage.removeItem(UNDER_WAY);
    this.busy(false);
    await this.history.load();
    this.history.mark(this.stage.avatar?.id ?? null);
  }

  private finished(job: Job, keepView: boolean): void {
    const [first, ...others] = job.avatars;
    if (job.state === "done" && first !== undefined) {
      if (others.length === 0) void this.open(first, keepView);
      else {
        const words = job.kind === "surprise" ? "Choose one. It is drawn again, with more care." : "Choose one.";
        this.stage.showStrip(job.avatars, words, (avatar) => void this.choose(job, avatar));
      }
      return;
    }
    this.stage.uncover();
    if (job.state === "failed") this.stage.problem.say(`It was not drawn: ${job.error ?? "nobody knows why"}`);
  }

  /** One of a strip: a draft is drawn again, with more steps. */
  private async choose(job: Job, avatar: Avatar): Promise<void> {
    if (job.kind === "surprise") await this.draw("avatars", { kind: "again", avatar: avatar.id, sampling: { steps: this.model.defaults.steps } });
    else await this.open(avatar);
  }

  private async surprise(): Promise<void> {
    await this.draw("avatars", { kind: "surprise", count: STRIP, seed: anySeed() });
  }

  private async edit(prompt: string, strength: number): Promise<void> {
    const colours = this.colours.changed;
    const wish = { prompt, strength, ...(Object.keys(colours).length > 0 ? { colours } : {}) };
    await this.onShown((avatar) => this.draw(`avatars/${avatar.id}/edits`, wish, true));
  }

  private async cancel(): Promise<void> {
    if (this.job === null) return;
    try {
      await ask("DELETE", `jobs/${this.job}`);
    } catch (error) {
      this.stage.problem.say(lineOf(error));
    }
  }

  /** Save the colours of the wheels as an avatar of their own. @returns it, or null if it was not saved. */
  private async keep(): Promise<Avatar | null> {
    const { avatar } = this.stage;
    if (avatar === null) return null;
    try {
      const kept = await ask<Avatar>("POST", `avatars/${avatar.id}/colours`, { colours: this.colours.changed });
      await this.stage.show(kept, true);
      await this.history.load();
      return kept;
    } catch (error) {
      this.stage.problem.say(lineOf(error));
      return null;
    }
  }

  private async taken(): Promise<Taken> {
    let { avatar } = this.stage;
    if (avatar === null) throw new Error("there is no avatar");
    if (Object.keys(this.colours.changed).length > 0) avatar = await this.keep();
    if (avatar === null) throw new Error("the colours could not be kept");
    const { azimuth, elevation } = this.stage.viewer?.view ?? { azimuth: 0, elevation: 2 };
    return { avatar, azimuth, elevation };
  }

  private busy(on: boolean): void {
    for (const drawer of this.drawers) drawer.disabled = on;
    this.aside.inert = on;
    this.host.classList.toggle("busy", on);
  }
}

/** Say on top that no server answers, until one does. */
function watchConnection(): void {
  const banner = element("p", { class: "lost", role: "alert" });
  banner.hidden = true;
  document.body.prepend(banner);
  onConnection((lost) => {
    banner.textContent = lost ? "The studio does not answer. Is `rodin studio` still running? Trying again …" : "";
    banner.hidden = !lost;
  });
}

async function begin(): Promise<void> {
  const host = document.getElementById("studio")!;
  watchConnection();
  try {
    const studio = new Studio(host, await ask<ModelInfo>("GET", "model"));
    await studio.start();
  } catch (error) {
    if (error instanceof Refused) host.replaceChildren(element("p", { class: "problem", role: "alert" }, [lineOf(error)]));
    else onConnection((lost) => {
      if (!lost) location.reload();
    });
  }
}

void begin();
