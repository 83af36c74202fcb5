/** Draws one avatar with WebGL 2: exactly, from its planes, or from a volume that was baked of them. */

import type { Avatar, Colour } from "./avatar";
import { focalLength, poseOf, type View } from "./camera";
import { distances } from "./occupancy";
import { bakedFragment, bakedNumbers, bakeFragment, exactFragment, VERTEX, VOXELS } from "./shader";
import { thatShow, volumeOf, voxelsOf } from "./volume";

export type Method = "exact" | "baked";

/** Pictures larger than a screen are drawn in bands of so many pixels, so that no machine stands still. */
const BAND_PIXELS = 2 ** 17;
/** Width of the picture of voxels that are baked. */
const BAKED_WIDTH = 1024;

interface Program {
  readonly program: WebGLProgram;
  readonly place: (name: string) => WebGLUniformLocation | null;
}

/** What was baked, and the volume that is painted of it. */
interface Baked {
  readonly voxels: Uint8Array<ArrayBuffer>;
  readonly numbers: readonly Uint8Array[];
  readonly volume: Uint8Array<ArrayBuffer>;
}

export class Renderer {
  private readonly gl: WebGL2RenderingContext;
  private readonly programs = new Map<string, Program>();
  private readonly planes: WebGLTexture;
  private readonly empty: WebGLTexture;
  private volume: WebGLTexture | null = null;
  private baked: Baked | null = null;
  private fresh = false;
  private colours: readonly Colour[];
  private shading = 1;

  /** @throws Error where there is no WebGL 2. */
  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly avatar: Avatar,
  ) {
    const gl = canvas.getContext("webgl2", { antialias: false, depth: false, powerPreference: "high-performance" });
    if (gl === null) throw new Error("this browser has no WebGL 2; turn on hardware acceleration, or try another");
    this.gl = gl;
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.planes = planesTexture(gl, avatar);
    this.empty = gl.createTexture();
    gl.activeTexture(gl.TEXTURE1);
    gl.bindTexture(gl.TEXTURE_3D, this.empty);
    gl.texStorage3D(gl.TEXTURE_3D, 1, gl.R8, avatar.cells, avatar.cells, avatar.cells);
    sampled(gl, gl.TEXTURE_3D, gl.NEAREST);
    const away = distances(avatar.occupied, avatar.cells);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, 0, avatar.cells, avatar.cells, avatar.cells, gl.RED, gl.UNSIGNED_BYTE, away);
    this.colours = avatar.palette;
  }

  /** Paint with other colours: of the materials' shares with their shades, or of their shares alone. */
  paint(palette: readonly Colour[], shaded: boolean): void {
    this.colours = palette;
    this.shading = shaded ? 1 : 0;
    this.fresh = false;
  }

  /** Draw a view on all of the canvas. */
  draw(view: View, method: Method, bins = this.avatar.samples): void {
    this.prepare(method);
    this.gl.bindFramebuffer(this.gl.FRAMEBUFFER, null);
    this.aim(view, method, bins, this.canvas.width, this.canvas.height);
    this.gl.drawArrays(this.gl.TRIANGLES, 0, 3);
  }

  /** Whether the browser has taken the graphics card away. */
  get lost(): boolean {
    return this.gl.isContextLost();
  }

  /** What is passed when all that was drawn is done; null if that cannot be told. */
  fence(): WebGLSync | null {
    const sync = this.gl.fenceSync(this.gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    this.gl.flush();
    return sync;
  }

  /** Whether a fence is passed, which is then gone. */
  passed(sync: WebGLSync): boolean {
    const { gl } = this;
    if (gl.clientWaitSync(sync, 0, 0) === gl.TIMEOUT_EXPIRED) return false;
    gl.deleteSync(sync);
    return true;
  }

  /** Draw a square picture beside the canvas. @returns straight RGBA, row by row from the top. */
  async picture(view: View, method: Method, size: number): Promise<Uint8ClampedArray<ArrayBuffer>> {
    const { gl } = this;
    this.prepare(method);
    const target = flat(gl, gl.RGBA8, size, size);
    const frame = gl.createFramebuffer();
    const rows = Math.max(1, Math.floor(BAND_PIXELS / size));
    const bytes = new Uint8Array(4 * size * size);
    try {
      for (let first = 0; first < size; first += rows) {
        const count = Math.min(rows, size - first);
        gl.bindFramebuffer(gl.FRAMEBUFFER, frame); // another frame may have been drawn since
        gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
        this.aim(view, method, this.avatar.samples, size, size);
        gl.enable(gl.SCISSOR_TEST);
        gl.scissor(0, first, size, count);
        gl.drawArrays(gl.TRIANGLES, 0, 3);
        gl.disable(gl.SCISSOR_TEST);
        const band = bytes.subarray(4 * size * first, 4 * size * (first + count));
        gl.readPixels(0, first, size, count, gl.RGBA, gl.UNSIGNED_BYTE, band);
        await new Promise((resolve) => setTimeout(resolve));
      }
    } finally {
      gl.deleteFramebuffer(frame);
      gl.deleteTexture(target);
    }
    return straight(bytes, size);
  }

  /** Milliseconds that a square picture takes, waited for; what is made once is made before. */
  time(view: View, method: Method, bins: number, size: number): number {
    const { gl } = this;
    const target = flat(gl, gl.RGBA8, size, size);
    const frame = gl.createFramebuffer();
    this.prepare(method);
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
    const once = (): number => {
      const began = performance.now();
      this.aim(view, method, bins, size, size);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
      return performance.now() - began;
    };
    once(); // compiles
    const milliseconds = Math.min(once(), once());
    gl.deleteFramebuffer(frame);
    gl.deleteTexture(target);
    return milliseconds;
  }

  /** Free what the graphics card holds. */
  dispose(): void {
    const { gl } = this;
    for (const { program } of this.programs.values()) gl.deleteProgram(program);
    for (const texture of [this.planes, this.empty, this.volume]) gl.deleteTexture(texture);
    this.programs.clear();
    this.volume = null;
    gl.getExtension("WEBGL_lose_context")?.loseContext(); // browsers keep few, and take those in use away
  }

  /** Have the volume, in the colours of now, where the method needs it. */
  private prepare(method: Method): void {
    if (method === "exact" || this.fresh) return;
    const { gl } = this;
    this.baked ??= this.bake();
    const { voxels, numbers, volume } = this.baked;
    volumeOf(this.avatar, voxels, numbers, this.colours, this.shading === 1, volume);
    gl.activeTexture(gl.TEXTURE2);
    if (this.volume === null) {
      this.volume = gl.createTexture();
      gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.volume);
      gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGBA8, VOXELS, VOXELS, VOXELS);
      sampled(gl, gl.TEXTURE_2D_ARRAY, gl.LINEAR);
    }
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.volume);
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, 0, VOXELS, VOXELS, VOXELS, gl.RGBA, gl.UNSIGNED_BYTE, volume);
    this.fresh = true;
  }

  /** Ask the decoder for all voxels, as the pixels of a picture of them; with as many targets as the device has. */
  private bake(): Baked {
    const { gl, avatar } = this;
    const voxels = voxelsOf(avatar);
    const count = voxels.length / 4;
    const height = Math.max(1, Math.ceil(count / BAKED_WIDTH));
    const padded = new Uint8Array(4 * BAKED_WIDTH * height);
    padded.set(voxels);
    const where = flat(gl, gl.RGBA8UI, BAKED_WIDTH, height);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, BAKED_WIDTH, height, gl.RGBA_INTEGER, gl.UNSIGNED_BYTE, padded);
    const vectors = Math.ceil(bakedNumbers(avatar) / 4);
    const atOnce = Math.min(vectors, gl.getParameter(gl.MAX_DRAW_BUFFERS) as number);
    const numbers: Uint8Array[] = [];
    const frame = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    for (let first = 0; first < vectors; first += atOnce) {
      const some = Math.min(atOnce, vectors - first);
      const targets = Array.from({ length: some }, () => flat(gl, gl.RGBA8, BAKED_WIDTH, height));
      const places = targets.map((_, index) => gl.COLOR_ATTACHMENT0 + index);
      targets.forEach((target, index) => {
        gl.framebufferTexture2D(gl.FRAMEBUFFER, places[index]!, gl.TEXTURE_2D, target, 0);
      });
      gl.drawBuffers(places);
      const { place } = this.use(`bake ${first}`, () => bakeFragment(avatar, first, some));
      bind(gl, 3, gl.TEXTURE_2D, where, place("voxels"));
      gl.viewport(0, 0, BAKED_WIDTH, height);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      for (const place of places) {
        const read = new Uint8Array(4 * BAKED_WIDTH * height);
        gl.readBuffer(place);
        gl.readPixels(0, 0, BAKED_WIDTH, height, gl.RGBA, gl.UNSIGNED_BYTE, read);
        numbers.push(read);
      }
      targets.forEach((target) => gl.deleteTexture(target));
    }
    gl.deleteFramebuffer(frame);
    gl.deleteTexture(where);
    return { ...thatShow(voxels, numbers), volume: new Uint8Array(4 * VOXELS ** 3) };
  }

  /** Set all up but the target: program, textures, camera and colours. */
  private aim(view: View, method: Method, bins: number, width: number, height: number): void {
    const { gl, avatar } = this;
    const { place } = this.use(method, method === "exact" ? exactFragment : bakedFragment);
    const { origin, axes } = poseOf(view, avatar.camera.radius);
    const side = Math.min(width, height);
    gl.viewport(0, 0, width, height);
    gl.uniform1i(place("bins"), bins);
    gl.uniform3f(place("origin"), ...origin);
    gl.uniformMatrix3fv(place("axes"), false, axes);
    gl.uniform3f(
      place("lens"),
      width / 2 + view.shift[0] * side,
      height / 2 + view.shift[1] * side,
      focalLength(avatar.camera.fov_deg, view.zoom) * side,
    );
    if (method === "exact") this.colour(place);
  }

  private colour(place: Program["place"]): void {
    if (this.colours.length === 0) return;
    this.gl.uniform3fv(place("palette"), this.colours.flat());
    this.gl.uniform1f(place("shading"), this.shading);
  }

  /** The program of that name, made at its first use, with its textures. */
  private use(name: string, fragment: (avatar: Avatar) => string): Program {
    const { gl } = this;
    let found = this.programs.get(name);
    if (found === undefined) {
      const program = linked(gl, fragment(this.avatar));
      const places = new Map<string, WebGLUniformLocation | null>();
      found = {
        program,
        place: (uniform) => {
          if (!places.has(uniform)) places.set(uniform, gl.getUniformLocation(program, uniform));
          return places.get(uniform)!;
        },
      };
      this.programs.set(name, found);
    }
    gl.useProgram(found.program);
    gl.disable(gl.BLEND);
    bind(gl, 0, gl.TEXTURE_2D_ARRAY, this.planes, found.place("planes"));
    bind(gl, 1, gl.TEXTURE_3D, this.empty, found.place("empty"));
    if (name === "baked") bind(gl, 2, gl.TEXTURE_2D_ARRAY, this.volume, found.place("volume"));
    return found;
  }
}

function bind(
  gl: WebGL2RenderingContext,
  unit: number,
  target: GLenum,
  texture: WebGLTexture | null,
  place: WebGLUniformLocation | null,
): void {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(target, texture);
  gl.uniform1i(place, unit);
}

/** Codes as half floats, which hold them exactly; four channels a layer, all layers of a plane after each other. */
function planesTexture(gl: WebGL2RenderingContext, avatar: Avatar): WebGLTexture {
  const { height, width, decoder: { channels } } = avatar;
  const layers = Math.ceil(channels / 4);
  const texels = new Float32Array(3 * layers * height * width * 4);
  for (let plane = 0; plane < 3; plane++) {
    for (let channel = 0; channel < channels; channel++) {
      const from = (plane * channels + channel) * height * width;
      const to = (plane * layers + (channel >> 2)) * height * width * 4 + (channel & 3);
      for (let texel = 0; texel < height * width; texel++) texels[to + 4 * texel] = avatar.planes[from + texel]!;
    }
  }
  const texture = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0);
  gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
  gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGBA16F, width, height, 3 * layers);
  gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, 0, width, height, 3 * layers, gl.RGBA, gl.FLOAT, texels);
  sampled(gl, gl.TEXTURE_2D_ARRAY, gl.LINEAR);
  return texture;
}

/** A texture of two dimensions, bound where nothing else is. */
function flat(gl: WebGL2RenderingContext, format: GLenum, width: number, height: number): WebGLTexture {
  const texture = gl.createTexture();
  gl.activeTexture(gl.TEXTURE3);
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, format, width, height);
  sampled(gl, gl.TEXTURE_2D, gl.NEAREST);
  return texture;
}

function sampled(gl: WebGL2RenderingContext, target: GLenum, filter: GLenum): void {
  gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, filter);
  gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, filter);
  for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) {
    gl.texParameteri(target, side, gl.CLAMP_TO_EDGE);
  }
}

function linked(gl: WebGL2RenderingContext, fragment: string): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, fragment],
  ] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost()) {
      throw new Error(`the graphics driver refuses a shader: ${gl.getShaderInfoLog(shader)}`);
    }
    gl.attachShader(program, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost()) {
    throw new Error(`the graphics driver refuses a program: ${gl.getProgramInfoLog(program)}`);
  }
  return program;
}

/** Premultiplied rows from the bottom as straight rows from the top. */
function straight(bytes: Uint8Array, size: number): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(bytes.length);
  for (let row = 0; row < size; row++) {
    for (let from = 4 * size * (size - 1 - row), to = 4 * size * row, end = to + 4 * size; to < end; from += 4, to += 4) {
      const alpha = bytes[from + 3]!;
      for (let channel = 0; channel < 3; channel++) {
        pixels[to + channel] = alpha === 0 ? 0 : (255 * bytes[from + channel]!) / alpha;
      }
      pixels[to + 3] = alpha;
    }
  }
  return pixels;
}
