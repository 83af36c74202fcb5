export { fromBase64, readAvatar } from "./avatar";
export { Renderer } from "./renderer";
export { exactFragment, bakedFragment, bakeFragment } from "./shader";
