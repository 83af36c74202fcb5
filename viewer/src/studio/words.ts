/** Things in words: chips of what was understood, progress, names. Pure, and tested without a browser. */

import type { Avatar, Job, Understanding } from "./api";

export interface Chip {
  readonly kind: "asked" | "denied" | "unread" | "drawn";
  readonly text: string;
  /** What it is, for those who do not see it. */
  readonly spoken: string;
}

/** What was made of a prompt, a chip each: asked, denied, not read, and what is drawn beside. */
export function chipsOf(understanding: Understanding): Chip[] {
  return [
    ...understanding.asked.map((said) => chip("asked", withWords(said.label, said.words), "understood")),
    ...understanding.denied.map((said) => chip("denied", bare(said.label), "not wanted")),
    ...understanding.unread.map((words) => chip("unread", words, "not read")),
    ...understanding.drawn.map((said) => chip("drawn", said.label, "drawn beside")),
  ];
}

function chip(kind: Chip["kind"], text: string, what: string): Chip {
  return { kind, text, spoken: `${what}: ` };
}

/** A label, and the words that said it if they are others: chin beard (goatee). */
function withWords(label: string, words: string): string {
  const parts = (text: string): string[] => text.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const known = new Set(parts(label));
  return words === "" || parts(words).some((word) => known.has(word)) ? label : `${label} (${words})`;
}

/** What is denied, without its "no", which is shown otherwise. */
function bare(label: string): string {
  return label.replace(/^(no|not|without)\s+(an?\s+)?/i, "");
}

/** What a job does now, in words. */
export function progressOf(job: Job): string {
  if (job.state === "waiting") return job.place <= 0 ? "Next in the queue" : `${ordinal(job.place + 1)} in the queue`;
  if (job.state === "cancelled") return "Cancelled";
  if (job.state === "failed") return "Failed";
  if (job.state === "done") return "Done";
  const names: Readonly<Record<string, string>> = {
    latent: "Reading",
    base: "Shaping",
    upsampling: "Adding detail",
    picture: "Taking the picture",
  };
  const name = names[job.stage] ?? "Drawing";
  return job.steps > 0 && job.step > 0 ? `${name}: step ${job.step} of ${job.steps}` : name;
}

/** How much of a job is done, in [0, 1]; null while that cannot be told. */
export function shareOf(job: Job): number | null {
  if (job.state === "done") return 1;
  return job.state === "drawing" && job.steps > 0 ? Math.min(1, job.step / job.steps) : null;
}

export function ordinal(count: number): string {
  const teen = count % 100 > 10 && count % 100 < 14;
  const ending = teen ? "th" : (({ 1: "st", 2: "nd", 3: "rd" }) as Record<number, string>)[count % 10] ?? "th";
  return `${count}${ending}`;
}

/** What an avatar is called. */
export function titleOf(avatar: Avatar): string {
  if (avatar.prompt !== "") return avatar.prompt;
  const names: Readonly<Record<string, string>> = {
    portrait: "Of a portrait",
    surprise: "A surprise",
    again: "A surprise, refined",
    vary: "A relative",
    mix: "A mix",
    colours: "Other colours",
    edit: "A change",
  };
  return names[avatar.kind] ?? "An avatar";
}

/** What has been done to it, in a few words; "" if nothing. */
export function noteOf(avatar: Avatar): string {
  if (avatar.edit) return avatar.edit;
  return avatar.prompt === "" ? "" : ({ vary: "a relative", mix: "a mix", colours: "other colours" } as Record<string, string>)[avatar.kind] ?? "";
}

/** Bytes for reading. */
export function sizeOf(bytes: number): string {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} KB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
