/** A title as the name of a file: letters and digits, the rest one dash each. */
export function fileName(title: string, suffix: string): string {
  const name = title.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60).replace(/^-+|-+$/g, "");
  return `${name || "avatar"}.${suffix}`;
}
