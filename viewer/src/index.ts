/** A viewer of Rodin's avatars: `mount(host, await readAvatar(bytes))` is all that a page needs. */

import { fromBase64, readAvatar } from "./avatar";
import { mount } from "./panel";
import type { Viewer } from "./viewer";

export { fromBase64, readAvatar, type Avatar, type Colour } from "./avatar";
export { mount, type MountOptions } from "./panel";
export { Viewer, type Background, type Quality, type ViewerOptions } from "./viewer";
export type { View } from "./camera";

/**
 * Show the avatar that a page holds: base64 text in #avatar, in the element #viewer. What goes wrong is said in #problem,
 * and the page stays as it was.
 */
export async function start(): Promise<Viewer | null> {
  try {
    const avatar = await readAvatar(fromBase64(document.getElementById("avatar")!.textContent!));
    return mount(document.getElementById("viewer")!, avatar);
  } catch (error) {
    const problem = document.getElementById("problem")!;
    problem.textContent = `The avatar cannot be turned: ${error instanceof Error ? error.message : String(error)}.`;
    problem.hidden = false;
    return null;
  }
}
