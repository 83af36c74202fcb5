/**
 * An avatar's decoder as GLSL, and the programs that draw with it. The definition is `rodin/render/reference.py`.
 *
 * Weights are literals in the source: a decoder has two thousand of them, more than all devices take as uniforms, and
 * software renderers read them fastest. Vectors are cut into blocks of four, padded with zeros. */

import type { Avatar, Linear } from "./avatar";

/** Transmittance behind which a ray is not followed: what is left looks like what was seen. */
const OPAQUE_BELOW = 1e-2;
/** The colour of a sample of less weight is left out: ten of them are a step of 8 bits. */
const LEAST_WEIGHT = 4e-4;
/** Voxels along an edge of the baked volume, which has one for every texel of planes of 128. */
export const VOXELS = 128;

export const VERTEX = `#version 300 es
void main() { // one triangle over all of the picture
  gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0);
}`;

const HEAD = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
precision highp sampler2DArray;
precision highp usampler2D;
`;

/** Statements that go on to the next bin whose middle is to be looked at. */
const LEAP = `for (int step_ = 0; step_ < bins; step_++) {
      point = origin + (near + (float(index) + 0.5) * bin) * direction;
      float cells = away(point);
      if (cells < 0.5 || index >= bins) break;
      index += 1 + int(max((cells - 1.0) * crossing - 1e-3, 0.0));
    }`;

/**
 * Draws a picture from planes and decoder: premultiplied colour and alpha.
 *
 * A ray goes on until a sample counts, and only then is its colour asked for: of four pixels that a software renderer
 * computes side by side, none waits for the colours of the others.
 */
export function exactFragment(avatar: Avatar): string {
  const { y, h } = vectorsOf(avatar);
  return `${HEAD}${decoder(avatar)}
${avatar.palette.length > 0 ? `uniform vec3 palette[${avatar.palette.length}];\nuniform float shading; // 1, or 0 for shares alone` : ""}
${painted(avatar)}
${march(
  avatar,
  directionOf(avatar),
  `vec4 ${h};
    float weight = 0.0;
    for (int sample_ = 0; sample_ < bins; sample_++) {
      ${LEAP}
      if (index >= bins) { weight = 0.0; break; }
      vec4 ${y};
      look(point, ${y});
      weight = through * (1.0 - exp(-bin * density(${y}, ${h})));
      through -= weight;
      index++;
      if (weight > ${literal(LEAST_WEIGHT)} || through < ${literal(OPAQUE_BELOW)}) break;
    }
    seen += weight * painted(${h});`,
)}`;
}

/** Draws a picture from the baked volume, whose layers lie along z. */
export function bakedFragment(avatar: Avatar): string {
  return `${HEAD}uniform sampler2DArray volume;
${march(
  avatar,
  "",
  `${LEAP}
    if (index >= bins) break;
    vec3 at = point * 0.5 + 0.5;
    float height = clamp(at.z * ${literal(VOXELS)} - 0.5, 0.0, ${literal(VOXELS - 1)});
    float below = floor(height);
    vec4 voxel = mix(texture(volume, vec3(at.xy, below)), texture(volume, vec3(at.xy, below + 1.0)), height - below);
    float weight = through * (1.0 - exp2(bin * ${literal(VOXELS / 2)} * log2(max(1.0 - voxel.a, 1e-3))));
    seen += weight * voxel.rgb / max(voxel.a, 1e-3);
    through -= weight;
    index++;`,
)}`;
}

/** How many numbers a baked voxel has: colour and opacity or, with materials, residual, opacity, shade and shares. */
export function bakedNumbers(avatar: Avatar): number {
  return avatar.palette.length > 0 ? 5 + avatar.palette.length : 4;
}

/**
 * Bakes voxels, a pixel each: their opacity along an edge, and what they emit, in bytes.
 *
 * The direction that they are seen from is left out, so that they emit what they do on average: harmonics add up to
 * nothing over the sphere. Fitted heads agree to 35 dB and more that way, and to 30 as seen from outside.
 * @param first - of the vectors of four numbers that this program writes, \`count\` of them.
 */
export function bakeFragment(avatar: Avatar, first: number, count: number): string {
  const { y, h } = vectorsOf(avatar);
  const materials = avatar.palette.length;
  const numbers = ["shade * 0.5", ...Array.from({ length: materials }, (_, k) => `w${k >> 2}[${k & 3}]`)];
  while (numbers.length % 4 !== 0) numbers.push("0.0");
  const vectors = [`vec4(${materials > 0 ? `residual * ${literal(0.5 / avatar.residual)} + 0.5` : "colour"}, opacity)`];
  if (materials > 0) for (let k = 0; k < numbers.length; k += 4) vectors.push(`vec4(${numbers.slice(k, k + 4).join(", ")})`);
  const written = vectors.slice(first, first + count);
  return `${HEAD}${written.map((_, index) => `layout(location = ${index}) out vec4 number${index};`).join("\n")}
uniform usampler2D voxels;
${decoder(avatar)}
void main() {
  vec3 point = (vec3(texelFetch(voxels, ivec2(gl_FragCoord.xy), 0).xyz) + 0.5) * ${literal(2 / VOXELS)} - 1.0;
  ${undirected(avatar)}
  vec4 ${y};
  look(point, ${y});
  vec4 ${h};
  float opacity = 1.0 - exp(${literal(-2 / VOXELS)} * density(${y}, ${h}));
  ${emittedHere(avatar)}
${written.map((value, index) => `  number${index} = ${value};`).join("\n")}
}`;
}

/** The ray of a pixel, followed until it has left the box or is opaque; \`body\` goes on by at least one bin. */
function march(avatar: Avatar, before: string, body: string): string {
  return `
out vec4 drawn;
uniform sampler3D empty;
uniform vec3 origin;
uniform mat3 axes;
uniform int bins;
uniform vec3 lens; // principal point and focal length in pixels
float away(vec3 point) { // cells to the nearest one that matters
  ivec3 cell = clamp(ivec3((point + 1.0) * ${literal(avatar.cells / 2)}), 0, ${avatar.cells - 1});
  return texelFetch(empty, cell.zyx, 0).r * 255.0;
}
void main() {
  vec3 direction = normalize(axes * vec3((gl_FragCoord.xy - lens.xy) / lens.z, -1.0));
  vec3 inverse = 1.0 / mix(direction, vec3(1e-9), lessThan(abs(direction), vec3(1e-9)));
  vec3 low = (-1.0 - origin) * inverse, high = (1.0 - origin) * inverse;
  vec3 first = min(low, high), last = max(low, high);
  float near = max(max(first.x, first.y), max(first.z, 0.0));
  float far = min(last.x, min(last.y, last.z));
  float bin = (far - near) / float(bins);
  vec3 along = abs(direction);
  float crossing = ${literal(2 / avatar.cells)} / (bin * max(along.x, max(along.y, along.z))); // bins that cross a cell
  ${before}
  vec3 seen = vec3(0.0), point = vec3(0.0);
  float through = 1.0;
  int index = far > near ? 0 : bins;
  for (int turn = 0; turn < bins; turn++) {
    ${body}
    if (index >= bins || through < ${literal(OPAQUE_BELOW)}) break;
  }
  float alpha = through < ${literal(OPAQUE_BELOW)} ? 1.0 : 1.0 - through;
  drawn = vec4(clamp(seen * (alpha / max(1.0 - through, 1e-6)), 0.0, alpha), alpha);
}`;
}

/** The names of an avatar's features and hidden units, in vectors of four. */
function vectorsOf(avatar: Avatar): { y: string; h: string } {
  return { y: names("y", blocks(avatar.decoder.channels)), h: names("h", blocks(avatar.decoder.hidden)) };
}

/** GLSL functions: look (features of a point), density (which leaves the hidden layer) and activate. */
function decoder(avatar: Avatar): string {
  const { config, trunk, density } = avatar.network;
  const inputs = blocks(config.channels);
  const hidden = blocks(config.hidden);
  const y = names("y", inputs);
  const h = names("h", hidden);
  const layers = blocks(config.channels);
  const looks = y.split(", ").map((name, block) => {
    const layer = (plane: number): string => literal(plane * layers + block);
    const scale = [0, 1, 2, 3].map((lane) => avatar.scale[4 * block + lane] ?? 0);
    const offset = [0, 1, 2, 3].map((lane) => 3 * (avatar.offset[4 * block + lane] ?? 0));
    return `  ${name} = (texture(planes, vec3(at.yx, ${layer(0)})) + texture(planes, vec3(at.xz, ${layer(1)}))
    + texture(planes, vec3(at.zy, ${layer(2)}))) * ${vector(scale)} + ${vector(offset)};`;
  });
  const activation =
    config.activation === "silu"
      ? "x / (1.0 + exp(-x))"
      : "max(x, 0.0) + log(1.0 + exp(-abs(x)))";
  // xi: the features, then of each channel the sines of all octaves, then the cosines likewise
  const octaves = Array.from({ length: config.frequencies }, (_, k) => 2 ** k);
  const columns = (channel: (c: number) => number): Linear => picked(trunk, config.channels, channel);
  const terms = [linear(columns((c) => c), "y", "h", true)];
  octaves.forEach((octave, k) => {
    const count = config.frequencies;
    for (const [name, half] of [["sin", 0], ["cos", 1]] as const) {
      const turned = Array.from({ length: inputs }, (_, i) => `  vec4 ${name}${k}_${i} = ${name}(y${i} * ${literal(octave)});`);
      const at = (c: number): number => config.channels * (1 + half * count) + c * count + k;
      terms.push(`${turned.join("\n")}\n${linear(columns(at), `${name}${k}_`, "h", false)}`);
    }
  });
  return `
uniform sampler2DArray planes;
vec4 activate(vec4 x) { return ${activation}; }
float softplus(float x) { return max(x, 0.0) + log(1.0 + exp(-abs(x))); }
void look(vec3 point, ${outs("y", inputs)}) {
  vec3 at = point * 0.5 + 0.5;
${looks.join("\n")}
}
float density(${ins("y", inputs)}, ${outs("h", hidden)}) {
${terms.join("\n")}
${h.split(", ").map((name) => `  ${name} = activate(${name});`).join("\n")}
  float raw = ${literal(density.bias[0]! + config.density_shift)}${h
    .split(", ")
    .map((name, block) => ` + dot(${name}, ${vector(row(density, 0, block))})`)
    .join("")};
  return ${literal(config.density_scale)} * softplus(raw);
}
${direction(avatar)}`;
}

const BASIS = `vec4 basis0 = vec4(direction, direction.x * direction.y);
  vec4 basis1 = vec4(direction.yz * direction.zx, direction.x * direction.x - direction.y * direction.y, 3.0 * direction.z * direction.z - 1.0);`;

/** Globals that hold what depends on the ray alone. */
function direction(avatar: Avatar): string {
  const { config, direction: turned } = avatar.network;
  if (turned !== null) return `vec4 ${names("turn", blocks(config.hidden))};`;
  return config.view_direction ? "vec4 basis0, basis1;" : "";
}

/** Statements that set them for \`direction\`. */
function directionOf(avatar: Avatar): string {
  const { config, direction: turned } = avatar.network;
  if (!config.view_direction) return "";
  if (turned === null) return BASIS.replaceAll("vec4 basis", "basis");
  return `{ ${BASIS}\n${linear(turned, "basis", "turn", true)} }`;
}

/** Statements that set them where there is no direction. */
function undirected(avatar: Avatar): string {
  const { config, direction: turned } = avatar.network;
  if (!config.view_direction) return "";
  if (turned === null) return "basis0 = basis1 = vec4(0.0);";
  return Array.from({ length: blocks(config.hidden) }, (_, i) => `turn${i} = vec4(0.0);`).join(" ");
}

/** Statements that make \`colour\` or, with materials, \`residual\`, \`shade\` and shares w0, w1 ... of the hidden layer. */
function emittedHere(avatar: Avatar): string {
  const { config, colour, direction: turned } = avatar.network;
  const hidden = blocks(config.hidden);
  const last = colour[colour.length - 1]!;
  const lines: string[] = [];
  if (turned !== null) for (let i = 0; i < hidden; i++) lines.push(`  h${i} += turn${i};`);
  colour.slice(0, -1).forEach((layer, index) => {
    lines.push(`  vec4 ${names(`c${index}_`, hidden)};`, linear(layer, "h", `c${index}_`, true));
    for (let i = 0; i < hidden; i++) lines.push(`  h${i} = activate(c${index}_${i});`);
  });
  if (config.materials === 0) {
    lines.push("  vec4 raw0;", linear(rows(last, 0, 3), "h", "raw", true));
    lines.push("  vec3 colour = 1.0 / (1.0 + exp(-raw0.rgb));");
    return lines.join("\n");
  }
  const count = config.materials;
  const logits = blocks(count);
  lines.push(`  vec4 ${names("w", logits)};`, linear(rows(last, 0, count), "h", "w", true));
  for (let k = count; k < 4 * logits; k++) lines.push(`  w${k >> 2}[${k & 3}] = -1e30;`);
  lines.push(`  vec4 most = ${fold("max", "w", logits)};`);
  lines.push("  float top = max(max(most.x, most.y), max(most.z, most.w));");
  for (let i = 0; i < logits; i++) lines.push(`  w${i} = exp(w${i} - top);`);
  lines.push(`  float all = dot(${Array.from({ length: logits }, (_, i) => `w${i}`).join(" + ")}, vec4(1.0));`);
  for (let i = 0; i < logits; i++) lines.push(`  w${i} /= all;`);
  lines.push("  vec4 rest0;", linear(rows(last, count, count + 4), "h", "rest", true));
  if (config.view_direction) {
    const turns = rows(last, count + 4, count + 12);
    lines.push("  vec4 turns0, turns1;", linear(turns, "h", "turns", true));
    lines.push("  rest0.w += dot(turns0, basis0) + dot(turns1, basis1);");
  }
  lines.push(`  vec3 residual = ${literal(avatar.residual)} * tanh(clamp(rest0.xyz, -15.0, 15.0));`);
  lines.push(`  float shade = softplus(rest0.w) * ${literal(1 / Math.LN2)};`);
  return lines.join("\n");
}

/** The colour of the hidden layer, by the palette where there is one. */
function painted(avatar: Avatar): string {
  const mixed = avatar.palette.map((_, k) => `w${k >> 2}[${k & 3}] * palette[${k}]`).join(" + ");
  return `vec3 painted(${ins("h", blocks(avatar.decoder.hidden))}) {
${emittedHere(avatar)}
  return ${mixed === "" ? "colour" : `mix(1.0, shade, shading) * (${mixed}) + shading * residual`};
}`;
}

/** Statements \`out = weight in + bias\`, or without the bias \`out += weight in\`, in blocks of four. */
function linear(layer: Linear, from: string, to: string, first: boolean): string {
  const lines: string[] = [];
  for (let out = 0; out < blocks(layer.rows); out++) {
    const terms = first ? [vector([0, 1, 2, 3].map((lane) => layer.bias[4 * out + lane] ?? 0))] : [`${to}${out}`];
    for (let block = 0; block < blocks(layer.columns); block++) {
      const columns = [0, 1, 2, 3].flatMap((column) => [0, 1, 2, 3].map((lane) => entry(layer, 4 * out + lane, 4 * block + column)));
      if (columns.some((value) => value !== 0)) terms.push(`mat4(${columns.map(literal).join(",")}) * ${from}${block}`);
    }
    lines.push(`  ${to}${out} = ${terms.join("\n    + ")};`);
  }
  return lines.join("\n");
}

function entry(layer: Linear, row: number, column: number): number {
  return row < layer.rows && column < layer.columns ? layer.weight[row * layer.columns + column]! : 0;
}

function row(layer: Linear, index: number, block: number): number[] {
  return [0, 1, 2, 3].map((lane) => entry(layer, index, 4 * block + lane));
}

/** Some rows of a layer. */
function rows(layer: Linear, from: number, to: number): Linear {
  return {
    rows: to - from,
    columns: layer.columns,
    weight: layer.weight.subarray(from * layer.columns, to * layer.columns),
    bias: layer.bias.subarray(from, to),
  };
}

/** Some columns of a layer. */
function picked(layer: Linear, columns: number, column: (index: number) => number): Linear {
  const weight = new Float32Array(layer.rows * columns);
  for (let r = 0; r < layer.rows; r++) for (let c = 0; c < columns; c++) weight[r * columns + c] = entry(layer, r, column(c));
  return { rows: layer.rows, columns, weight, bias: layer.bias };
}

function blocks(count: number): number {
  return Math.ceil(count / 4);
}

function names(prefix: string, count: number): string {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`).join(", ");
}

function ins(prefix: string, count: number): string {
  return names(`vec4 ${prefix}`, count);
}

function outs(prefix: string, count: number): string {
  return names(`out vec4 ${prefix}`, count);
}

function fold(operation: string, prefix: string, count: number): string {
  return Array.from({ length: count - 1 }, (_, index) => index + 1).reduce(
    (folded, index) => `${operation}(${folded}, ${prefix}${index})`,
    `${prefix}0`,
  );
}

function vector(values: readonly number[]): string {
  return `vec4(${values.map(literal).join(",")})`;
}

/** A number as GLSL has it, exact to float32. */
function literal(value: number): string {
  const text = Math.fround(value).toPrecision(9);
  return text.includes("e") ? text : text.replace(/\.?0+$/, (zeros) => (zeros.startsWith(".") ? ".0" : "")).replace(/^(-?\d+)$/, "$1.0");
}
