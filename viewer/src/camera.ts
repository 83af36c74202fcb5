/** The camera that goes round an avatar, as `rodin.camera.orbit` has it: +y up, azimuth 0 in front, towards +x. */

export interface View {
  /** Degrees; 0 is the front, positive the avatar's left. */
  readonly azimuth: number;
  /** Degrees above the horizon. */
  readonly elevation: number;
  /** How much larger than at first. */
  readonly zoom: number;
  /** Where the middle of the box is in the picture, in its widths, from its middle to the right and upwards. */
  readonly shift: readonly [number, number];
}

export const HIGHEST = 85;
export const ZOOMS = [0.6, 8] as const;

export interface Pose {
  readonly origin: readonly [number, number, number];
  /** 3 x 3, column by column: the camera's right, up and back. */
  readonly axes: readonly number[];
}

export function poseOf(view: View, radius: number): Pose {
  const azimuth = (view.azimuth * Math.PI) / 180;
  const elevation = (view.elevation * Math.PI) / 180;
  const back = [
    Math.sin(azimuth) * Math.cos(elevation),
    Math.sin(elevation),
    Math.cos(azimuth) * Math.cos(elevation),
  ] as const;
  const right = [Math.cos(azimuth), 0, -Math.sin(azimuth)] as const;
  const up = [
    back[1] * right[2] - back[2] * right[1],
    back[2] * right[0] - back[0] * right[2],
    back[0] * right[1] - back[1] * right[0],
  ];
  return { origin: [back[0] * radius, back[1] * radius, back[2] * radius], axes: [...right, ...up, ...back] };
}

/** Focal length in widths of a square picture. */
export function focalLength(fovDeg: number, zoom: number): number {
  return (0.5 * zoom) / Math.tan((fovDeg * Math.PI) / 360);
}

/** The same view within what is allowed, its azimuth in [-180, 180). */
export function limited(view: View): View {
  const azimuth = ((((view.azimuth + 180) % 360) + 360) % 360) - 180;
  const zoom = clamp(view.zoom, ...ZOOMS);
  const most = 0.5 * Math.max(zoom - 0.6, 0.2);
  return {
    azimuth,
    elevation: clamp(view.elevation, -HIGHEST, HIGHEST),
    zoom,
    shift: [clamp(view.shift[0], -most, most), clamp(view.shift[1], -most, most)],
  };
}

/** In words, for those who hear the picture. */
export function inWords(view: View): string {
  const azimuth = Math.round(view.azimuth);
  const side = azimuth > 0 ? "left" : "right";
  const away = Math.abs(azimuth);
  if (away < 8) return "from the front";
  if (away > 172) return "from behind";
  return `${away} degrees to its ${side}`;
}

export function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
