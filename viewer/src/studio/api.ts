/** What the studio's server understands and answers, and the ways to ask it. Paths are relative to the page. */

export interface Value {
  readonly value: string;
  readonly label: string;
  /** #rrggbb, of what is a colour. */
  readonly colour?: string | null;
}

export interface Attribute {
  readonly name: string;
  readonly label: string;
  readonly values: readonly Value[];
  readonly optional: boolean;
}

export interface Sampling {
  readonly steps: number;
  readonly [name: string]: unknown;
}

export interface ModelInfo {
  readonly name: string;
  readonly understands: boolean;
  readonly attributes: readonly Attribute[];
  /** Of files that the server can make. */
  readonly formats: readonly string[];
  /** By option of a file the formats that have it. */
  readonly options: Readonly<Record<string, readonly string[]>>;
  readonly defaults: Sampling;
  readonly limits: Readonly<Record<string, number>>;
}

export interface Said {
  readonly attribute: string;
  readonly values: readonly string[];
  readonly label: string;
  readonly words: string;
}

export interface Drawn {
  readonly attribute: string;
  readonly value: string;
  readonly label: string;
}

export interface Understanding {
  readonly line: string;
  readonly asked: readonly Said[];
  readonly denied: readonly Said[];
  readonly unread: readonly string[];
  readonly drawn: readonly Drawn[];
  readonly attributes: Attributes;
}

/** By attribute its value; null where it is left open. */
export type Attributes = Readonly<Record<string, string | null>>;

export interface Avatar {
  readonly id: string;
  readonly created: string;
  readonly kind: string;
  readonly prompt: string;
  readonly understood: string;
  readonly drawn: readonly Drawn[];
  readonly unread: readonly string[];
  readonly seed: number;
  readonly parent: string | null;
  readonly edit: string | null;
  readonly links: { readonly picture: string; readonly viewer: string; readonly page: string };
}

export interface Job {
  readonly id: string;
  readonly kind: string;
  readonly state: "waiting" | "drawing" | "done" | "failed" | "cancelled";
  readonly place: number;
  readonly step: number;
  readonly steps: number;
  readonly stage: string;
  readonly preview: string | null;
  readonly avatars: readonly Avatar[];
  readonly error: string | null;
  /** Where the file is that was asked for. */
  readonly file: string | null;
}

export interface Square {
  readonly left: number;
  readonly top: number;
  readonly size: number;
}

export interface Portrait {
  readonly id: string;
  readonly width: number;
  readonly height: number;
  readonly crop: Square;
  readonly matte: { readonly good: boolean; readonly remark: string };
  readonly remarks: readonly string[];
  readonly picture: string;
  readonly matte_url: string;
  /** What the model sees. */
  readonly framed: string;
}

/** The server says why not. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** No server answers. */
export class Lost extends Error {
  constructor() {
    super("the studio does not answer");
  }
}

const PING_MS = 2000;
const RETRY_MS = 1000;

let lost = false;
const listeners = new Set<(lost: boolean) => void>();

/** Be told whenever the server is lost, and when it is found again. */
export function onConnection(told: (lost: boolean) => void): void {
  listeners.add(told);
}

function noteLost(): void {
  if (lost) return;
  lost = true;
  listeners.forEach((told) => told(true));
  const ping = async (): Promise<void> => {
    const answer = await fetch("model").catch(() => null);
    if (answer === null || answer.status >= 500) {
      setTimeout(() => void ping(), PING_MS);
      return;
    }
    lost = false;
    listeners.forEach((told) => told(false));
  };
  setTimeout(() => void ping(), PING_MS);
}

/** @throws Refused with the server's line, or Lost; AbortError as `fetch`. */
export async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const raw = body instanceof Blob;
  const init: RequestInit = { method };
  if (signal !== undefined) init.signal = signal;
  if (body !== undefined) {
    init.body = raw ? body : JSON.stringify(body);
    init.headers = { "Content-Type": raw ? body.type || "image/unknown" : "application/json" };
  }
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    noteLost();
    throw new Lost();
  }
  if (!answer.ok) throw new Refused(answer.status, await reasonOf(answer));
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

/** The bytes of a file. @throws as `ask`. */
export async function download(path: string): Promise<Blob> {
  let answer: Response;
  try {
    answer = await fetch(path);
  } catch {
    noteLost();
    throw new Lost();
  }
  if (!answer.ok) throw new Refused(answer.status, await reasonOf(answer));
  return answer.blob();
}

async function reasonOf(answer: Response): Promise<string> {
  try {
    const { error } = (await answer.json()) as { error?: unknown };
    if (typeof error === "string" && error !== "") return error;
  } catch {
    // no JSON: another server's, or a proxy's, page
  }
  if (answer.status === 401) return "this studio wants its token: open the link that `rodin studio` printed";
  return `the studio answers ${answer.status} ${answer.statusText}`.trim();
}

export function ended(job: Job): boolean {
  return job.state === "done" || job.state === "failed" || job.state === "cancelled";
}

/**
 * A job until it has ended, however often the connection breaks.
 * @param told - of every change, the last one too.
 * @throws Refused if the server does not know it (any more).
 */
export function follow(id: string, told: (job: Job) => void): Promise<Job> {
  return new Promise((resolve, reject) => {
    let events: EventSource;
    const take = (job: Job): boolean => {
      told(job);
      if (!ended(job)) return false;
      events.close();
      resolve(job);
      return true;
    };
    const open = (): void => {
      events = new EventSource(`jobs/${id}/events`);
      events.addEventListener("job", (event) => take(JSON.parse((event as MessageEvent<string>).data) as Job));
      events.addEventListener("error", () => {
        events.close(); // the browser would ask again for ever, even after a server that has forgotten the job
        void look();
      });
    };
    const look = async (): Promise<void> => {
      try {
        if (!take(await ask<Job>("GET", `jobs/${id}`))) setTimeout(open, RETRY_MS);
      } catch (error) {
        if (error instanceof Lost) setTimeout(() => void look(), RETRY_MS);
        else reject(error as Error);
      }
    };
    open();
  });
}

/** Ask for something that waits for its turn. @returns the job's id. @throws as `ask`. */
export async function order(path: string, wish: object): Promise<string> {
  return (await ask<{ job: Job }>("POST", path, wish)).job.id;
}

/** An error as one line for people. */
export function lineOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text === "" ? "something went wrong" : text[0]!.toUpperCase() + text.slice(1);
}
