/**
 * An avatar that turns under the finger: a canvas, what moves its camera, and when it is drawn how finely.
 *
 * While something moves, frames are as large as the machine draws in time, or else baked; at rest the picture is drawn
 * whole, and as it was asked for.
 */

import type { Avatar, Colour } from "./avatar";
import { inWords, limited, type View } from "./camera";
import { Renderer, type Method } from "./renderer";

export type Quality = "auto" | "exact" | "baked";
export type Background = "light" | "dark" | "none";

/** Colours behind the avatar; none is transparent. */
export const BACKGROUNDS: Readonly<Record<Background, string | null>> = { light: "#eceef0", dark: "#24282d", none: null };

export interface ViewerOptions {
  /** What the avatar is called, for those who do not see it. */
  readonly label: string;
  /** Whether it turns by itself at first. */
  readonly turning: boolean;
  /** Whether the wheel zooms without the control key, and a finger turns it up and down: on a page of its own. */
  readonly alone: boolean;
  /** How `auto` draws, where another avatar has asked the machine before; asked here if it is left out. */
  readonly method?: Method;
  /** Told after everything that changes but the view: what to say of it, or "". */
  readonly changed?: (message: string) => void;
}

/** Bins of a ray while it moves: pictures of 64 agree to 54 dB with those of 96. */
const MOVING_BINS: Readonly<Record<Method, number>> = { exact: 64, baked: 48 };
const FRAME_MS = 45; // to spend on a frame while something moves
const WHOLE_MS = 700; // and at rest
const TICK_MS = 17; // that a frame which is done may wait until it is noticed
const EXACT_MS = 40; // a frame of PROBE_SIDE that takes longer makes `auto` bake
const PROBE_SIDE = 320;
const SMALLEST = 160; // pixels of a frame's edge
const REST_MS = 180; // without a change until it is drawn whole
const TURN_DEG_PER_S = 24;
const TURNS_PER_WIDTH = 0.5; // that a drag over the width of the canvas makes
const KEY_DEG = 10;

export class Viewer {
  readonly avatar: Avatar;
  private renderer: Renderer;
  private current: View;
  private colours: Colour[];
  private mapped = false;
  private wanted: Quality = "auto";
  private measured: Method | null = null;
  private spinning: boolean;
  private visible = true;
  private readonly cost = new Map<Method, number>(); // milliseconds a pixel and bin
  private pending: { sync: WebGLSync; began: number; work: number; method: Method } | null = null;
  private stale = true;
  private coarse = false;
  private moved = -Infinity;
  private last = 0;
  private ticking = 0;
  private readonly pointers = new Map<number, readonly [number, number]>();
  private readonly ending = new AbortController();
  private readonly watchers: { disconnect(): void }[] = [];
  private waiting: (() => void)[] = [];

  /** @throws Error where the browser has no WebGL 2. */
  constructor(
    readonly canvas: HTMLCanvasElement,
    avatar: Avatar,
    private readonly options: ViewerOptions,
  ) {
    this.avatar = avatar;
    this.current = this.front();
    this.colours = [...avatar.palette];
    this.spinning = options.turning;
    this.measured = options.method ?? null;
    this.renderer = new Renderer(canvas, avatar);
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-roledescription", "3D picture");
    canvas.setAttribute("aria-label", `${options.label}. Arrow keys turn, plus and minus zoom, Home shows the front`);
    canvas.style.touchAction = options.alone ? "none" : "pan-y";
    this.listen();
    this.wake();
  }

  get view(): View {
    return this.current;
  }

  set view(view: View) {
    this.current = limited(view);
    this.wake();
  }

  /** The view that it begins with. */
  front(): View {
    return { azimuth: 0, elevation: this.avatar.camera.elevation_deg, zoom: 1, shift: [0, 0] };
  }

  /** [K] the colours of its materials, in the order of `avatar.materials`. */
  get palette(): readonly Colour[] {
    return this.colours;
  }

  /** Give a material another colour. @throws Error where the avatar has no such material. */
  recolour(material: string, colour: Colour): void {
    const index = this.avatar.materials.indexOf(material);
    if (index < 0) throw new Error(`${material} is no material of this avatar`);
    this.colours[index] = colour;
    this.paint();
    this.options.changed?.("");
  }

  /** Its colour now. */
  colourOf(material: string): Colour {
    return this.colours[this.avatar.materials.indexOf(material)]!;
  }

  /** Whether the picture shows what is of which material, rather than its colours. */
  get map(): boolean {
    return this.mapped;
  }

  set map(shown: boolean) {
    this.mapped = shown && this.avatar.palette.length > 0;
    this.paint();
    this.options.changed?.(this.mapped ? "shows its materials" : "shows its colours");
  }

  /** Whether it turns by itself. */
  get turning(): boolean {
    return this.spinning;
  }

  set turning(on: boolean) {
    this.spinning = on;
    this.last = 0;
    this.wake();
    this.options.changed?.("");
  }

  /** How it is to be drawn; `auto` asks how fast this machine is. */
  get quality(): Quality {
    return this.wanted;
  }

  set quality(quality: Quality) {
    this.wanted = quality;
    this.wake();
    this.options.changed?.("");
  }

  /** How it is drawn. */
  get method(): Method {
    if (this.wanted !== "auto") return this.wanted;
    if (this.measured === null) {
      const milliseconds = this.costOf("exact") * PROBE_SIDE ** 2 * MOVING_BINS.exact;
      this.measured = milliseconds > EXACT_MS ? "baked" : "exact";
      this.options.changed?.("");
    }
    return this.measured;
  }

  /**
   * The view as a picture, whatever the canvas' size, in PNG.
   * @param size - pixels of an edge.
   * @param background - a CSS colour, or null for a transparent one.
   */
  async picture(size: number, background: string | null, method: Method = "exact"): Promise<Blob> {
    const pixels = await this.renderer.picture(this.current, method, size);
    const sheet = (): [HTMLCanvasElement, CanvasRenderingContext2D] => {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = size;
      return [canvas, canvas.getContext("2d")!];
    };
    let [canvas, context] = sheet();
    context.putImageData(new ImageData(pixels, size, size), 0, 0);
    if (background !== null) {
      const avatar = canvas;
      [canvas, context] = sheet();
      context.fillStyle = background;
      context.fillRect(0, 0, size, size);
      context.drawImage(avatar, 0, 0);
    }
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob === null ? reject(new Error("the picture cannot be written")) : resolve(blob)), "image/png");
    });
  }

  /** Until what was asked for last is on the canvas, though perhaps not yet at full size. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      if (this.ticking === 0) this.ticking = requestAnimationFrame((now) => this.tick(now));
    });
  }

  /** Milliseconds that a frame of a size takes now, waited for; for measurements. */
  time(method: Method, size: number): number {
    return this.renderer.time(this.current, method, MOVING_BINS[method], size);
  }

  /** Free what it holds. */
  dispose(): void {
    this.ending.abort();
    this.watchers.forEach((watcher) => watcher.disconnect());
    cancelAnimationFrame(this.ticking);
    this.renderer.dispose();
  }

  private paint(): void {
    this.renderer.paint(this.mapped ? this.avatar.map_colours : this.colours, !this.mapped);
    this.wake();
  }

  // ---- when it is drawn

  /** Something changed: draw soon, and once more when all is at rest. */
  private wake(): void {
    this.stale = true;
    this.moved = performance.now();
    if (this.ticking === 0) this.ticking = requestAnimationFrame((now) => this.tick(now));
  }

  private tick(now: number): void {
    this.ticking = 0;
    if (!this.visible || document.hidden || this.renderer.lost) return; // what shows it again wakes it
    if (this.pending !== null && !this.finished()) {
      this.ticking = requestAnimationFrame((next) => this.tick(next));
      return;
    }
    if (!this.stale && this.waiting.length > 0) {
      this.waiting.forEach((resolve) => resolve());
      this.waiting = [];
    }
    if (this.spinning && this.pointers.size === 0) {
      const seconds = this.last === 0 ? 0 : Math.min(now - this.last, 100) / 1000;
      this.last = now;
      this.view = { ...this.current, azimuth: this.current.azimuth + TURN_DEG_PER_S * seconds };
    }
    const rests = performance.now() - this.moved > REST_MS;
    if (this.stale || (this.coarse && rests)) this.draw(!rests);
    if (this.pending !== null || this.spinning || this.coarse || this.stale || this.waiting.length > 0) {
      if (this.ticking === 0) this.ticking = requestAnimationFrame((next) => this.tick(next));
    }
  }

  private draw(moving: boolean): void {
    const method = this.methodOf(moving);
    const full = Math.max(1, Math.round(this.canvas.clientWidth * Math.min(devicePixelRatio, 2)));
    const bins = moving ? MOVING_BINS[method] : this.avatar.samples;
    const affordable = Math.sqrt((moving ? FRAME_MS : WHOLE_MS) / (this.costOf(method) * bins));
    // by steps, so that the canvas rarely changes its size
    const step = Math.ceil(Math.max(0, 2 * Math.log2(full / Math.max(affordable, SMALLEST))));
    const side = Math.round(full * 2 ** (-step / 2));
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    this.renderer.draw(this.current, method, bins);
    this.stale = false;
    this.coarse = moving;
    const sync = this.renderer.fence();
    if (sync !== null) {
      this.pending = { sync, began: performance.now(), work: side * side * bins, method };
    }
  }

  /** Frames of a machine that cannot even draw the smallest ones exactly in time are baked; at rest they are not. */
  private methodOf(moving: boolean): Method {
    const { method } = this;
    if (method === "baked" || this.costOf("exact") * SMALLEST ** 2 * MOVING_BINS.exact <= FRAME_MS) return method;
    this.costOf("baked"); // bakes, before anything moves
    return moving ? "baked" : "exact";
  }

  /** Whether the frame before is done: a second one would only wait behind it. */
  private finished(): boolean {
    const { sync, began, work, method } = this.pending!;
    if (!this.renderer.passed(sync)) return false;
    const took = performance.now() - began - TICK_MS;
    if (took > TICK_MS) this.cost.set(method, 0.8 * this.costOf(method) + 0.2 * (took / work));
    if (this.coarse) this.moved = performance.now(); // a machine that took so long gets its rest
    this.pending = null;
    return true;
  }

  /** Milliseconds that a bin of a pixel takes, measured at first by a small picture. */
  private costOf(method: Method): number {
    let cost = this.cost.get(method);
    if (cost === undefined) {
      const side = PROBE_SIDE / (method === "exact" ? 4 : 2);
      cost = this.renderer.time(this.front(), method, MOVING_BINS[method], side) / (side * side * MOVING_BINS[method]);
      this.cost.set(method, cost);
    }
    return cost;
  }

  // ---- what moves it

  private listen(): void {
    const { canvas } = this;
    const on = (name: string, handle: (event: never) => void, target: EventTarget = canvas): void => {
      target.addEventListener(name, handle as EventListener, { signal: this.ending.signal, passive: false });
    };
    on("pointerdown", (event: PointerEvent) => {
      canvas.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
      if (this.spinning) this.turning = false;
    });
    on("pointermove", (event: PointerEvent) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"]) on(end, (event: PointerEvent) => this.pointers.delete(event.pointerId));
    on("wheel", (event: WheelEvent) => {
      if (!this.options.alone && !event.ctrlKey) return; // the page scrolls
      event.preventDefault();
      this.zoomBy(Math.exp(-event.deltaY * (event.deltaMode === 0 ? 0.0015 : 0.05)));
    });
    on("dblclick", () => (this.view = this.front()));
    on("keydown", (event: KeyboardEvent) => this.press(event));
    on("webglcontextlost", (event: Event) => event.preventDefault());
    on("webglcontextrestored", () => {
      this.renderer = new Renderer(canvas, this.avatar);
      this.pending = null;
      this.paint();
    });
    on("visibilitychange", () => this.wake(), document);
    const seen = new IntersectionObserver(([entry]) => {
      this.visible = entry!.isIntersecting;
      this.last = 0;
      this.wake();
    });
    const sized = new ResizeObserver(() => this.wake());
    seen.observe(canvas);
    sized.observe(canvas);
    this.watchers.push(seen, sized);
  }

  /** One pointer turns; two, or one with the shift key, move; two that part zoom. */
  private drag(event: PointerEvent): void {
    const before = this.pointers.get(event.pointerId);
    if (before === undefined) return;
    const { clientWidth: width } = this.canvas;
    const [dx, dy] = [(event.clientX - before[0]) / width, (event.clientY - before[1]) / width];
    const spread = this.spread();
    this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
    const { azimuth, elevation, shift } = this.current;
    if (this.pointers.size > 1 || event.shiftKey) {
      const share = 1 / this.pointers.size;
      this.view = { ...this.current, shift: [shift[0] + dx * share, shift[1] - dy * share] };
      if (spread > 0) this.zoomBy(this.spread() / spread);
      return;
    }
    const upDown = this.options.alone || event.pointerType !== "touch" ? dy : 0;
    this.view = {
      ...this.current,
      azimuth: azimuth - 360 * TURNS_PER_WIDTH * dx,
      elevation: elevation + 360 * TURNS_PER_WIDTH * upDown,
    };
  }

  private spread(): number {
    const [first, second] = [...this.pointers.values()];
    return first && second ? Math.hypot(first[0] - second[0], first[1] - second[1]) : 0;
  }

  private zoomBy(factor: number): void {
    this.view = { ...this.current, zoom: this.current.zoom * factor };
  }

  private press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's
    const { azimuth, elevation, zoom } = this.current;
    const views: Record<string, Partial<View>> = {
      ArrowLeft: { azimuth: azimuth + KEY_DEG },
      ArrowRight: { azimuth: azimuth - KEY_DEG },
      ArrowUp: { elevation: elevation - KEY_DEG },
      ArrowDown: { elevation: elevation + KEY_DEG },
      "+": { zoom: zoom * 1.2 },
      "=": { zoom: zoom * 1.2 },
      "-": { zoom: zoom / 1.2 },
      Home: this.front(),
    };
    const changed = views[event.key];
    if (changed === undefined) return;
    event.preventDefault();
    if (this.spinning) this.turning = false;
    this.view = { ...this.current, ...changed };
    this.options.changed?.(inWords(this.current));
  }
}
