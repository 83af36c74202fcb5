/** A viewer of Rodin's avatars: `mount(host, await readAvatar(bytes))` is all that a page needs. */

import { fromBase64, readAvatar } from "./avatar";
import { mount } from "./panel";
import type { Viewer } from "./viewer";

export { fromBase64, readAvatar, type Avatar, type Colour } from "./avatar";
export { mount, type MountOptions } from "./panel";
export { Viewer, type Background, type Quality, type ViewerOptions } from "./viewer";
export type { View } from "./camera";

/**
 * Show the avatar that a page holds, base64 text in #rodin-avatar, in the element #rodin-viewer, when that comes into
 * sight. What goes wrong is said in #rodin-problem, and the page stays as it was.
 */
export async function start(): Promise<Viewer | null> {
  try {
    const host = document.getElementById("rodin-viewer")!;
    await seen(host);
    return mount(host, await readAvatar(fromBase64(document.getElementById("rodin-avatar")!.textContent!)));
  } catch (error) {
    const problem = document.getElementById("rodin-problem")!;
    problem.textContent = `The avatar cannot be turned: ${error instanceof Error ? error.message : String(error)}.`;
    problem.hidden = false;
    return null;
  }
}

function seen(element: Element): Promise<void> {
  return new Promise((resolve) => {
    const watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      resolve();
    });
    watcher.observe(element);
  });
}
