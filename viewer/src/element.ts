/** An element with its attributes and what is in it; text stays text. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>> = {},
  inside: readonly (Node | string)[] = [],
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

/** A button of a class, if it has one. */
export function button(label: string, press: () => void, kind = ""): HTMLButtonElement {
  const made = element("button", { type: "button", ...(kind === "" ? {} : { class: kind }) }, [label]);
  made.addEventListener("click", press);
  return made;
}
