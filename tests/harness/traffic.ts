// Steady traffic of several kinds to one endpoint, at a rate that doesn't wait for answers, and a list of everything that
// went wrong with it.

import { Agent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { ConnectionOptions } from "node:tls";
import { WebSocket } from "ws";
import type { Stage } from "./stage.js";

const TICK_MS = 10;
const LONGEST_TICK_MS = 50;
/** A connection that has been idle for longer isn't used again: a node that stops closes it after a second. */
const MAX_IDLE_MS = 500;
/** Events of a stream, and messages of a WebSocket; unless told otherwise, each lives for two seconds and more. */
const EVENTS = 10;
const EVENT_MS = 300;

/** What there is of each kind per second. */
export interface TrafficMix {
  /** GET of a few bytes. */
  readonly get?: number;
  /** POST whose few bytes come back. */
  readonly post?: number;
  /** GET that takes five seconds to answer. */
  readonly slow?: number;
  /** Event streams. */
  readonly events?: number;
  /** WebSockets that get each message back. */
  readonly webSockets?: number;
  /** Not of a second: time between two events of a stream, and between messages of a WebSocket. */
  readonly eventMs?: number;
}

type Kind = Exclude<keyof TrafficMix, "eventMs">;

export interface TrafficReport {
  /** Finished, by kind. */
  readonly counts: Record<string, number>;
  readonly failures: string[];
  /** Of those that were answered as they should, by kind. */
  readonly slowestMs: Record<string, number>;
}

export class Traffic {
  readonly #proxy: () => string;
  readonly #endpoint: string;
  readonly #credential: (() => string) | undefined;
  // All connections are used in turns, so that each learns soon that its node wants it to end.
  readonly #agent: Agent;
  /** Asked for each request; connections are kept for those with the same options. */
  readonly #tls: (() => ConnectionOptions) | undefined;
  readonly #counts: Record<string, number> = {};
  readonly #failures: string[] = [];
  readonly #slowestMs: Record<string, number> = {};
  readonly #open = new Set<Promise<void>>();
  readonly #eventMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #startMs = performance.now();
  /** Of each kind, the part of a request that is due. */
  readonly #due: Record<string, number> = {};
  #tickMs = performance.now();
  #stopped = false;

  private constructor(
    proxy: () => string,
    endpoint: string,
    mix: TrafficMix,
    tls: (() => ConnectionOptions) | undefined,
    credential: (() => string) | undefined,
  ) {
    const options = { keepAlive: true, scheduling: "fifo", timeout: MAX_IDLE_MS } as const;
    this.#agent = tls === undefined ? new Agent(options) : new HttpsAgent(options);
    this.#tls = tls;
    this.#proxy = proxy;
    this.#endpoint = endpoint;
    this.#credential = credential;
    const { eventMs = EVENT_MS, ...rates } = mix;
    this.#eventMs = eventMs;
    const kinds: Record<Kind, () => Promise<string | undefined>> = {
      get: () => this.#ask("GET", "/item?i=7", "", "item 7"),
      post: () => this.#ask("POST", "/echo", "a few bytes", "a few bytes"),
      slow: () => this.#ask("GET", "/slow?head=5000", "", "ok"),
      events: () => this.#events(),
      webSockets: () => this.#webSocket(),
    };
    this.#timer = setInterval(() => {
      const now = performance.now();
      // The agent's own timers are as late as this one.
      if (now - this.#tickMs > MAX_IDLE_MS) this.#dropIdle();
      for (const [kind, rate] of Object.entries(rates) as [Kind, number][]) {
        // A process that stood still begins where it is: what it has missed isn't made up for in one burst.
        const due = (this.#due[kind] ?? 0) + (Math.min(now - this.#tickMs, LONGEST_TICK_MS) / 1_000) * rate;
        this.#due[kind] = due % 1;
        for (let i = 0; i < Math.floor(due); i++) this.#begin(kind, kinds[kind]);
      }
      this.#tickMs = now;
    }, TICK_MS);
  }

  /**
   * Begins with requests for `endpoint` at a proxy address, or at one that is asked for anew for each; with options, over TLS.
   * `credential` gives the value of Authorization of each.
   */
  static start(
    stage: Stage,
    proxy: string | (() => string),
    endpoint: string,
    mix: TrafficMix,
    tls?: () => ConnectionOptions,
    credential?: () => string,
  ): Traffic {
    const at = typeof proxy === "string" ? () => proxy : proxy;
    const traffic = new Traffic(at, endpoint, mix, tls, credential);
    stage.defer(async () => void (await traffic.stop()));
    return traffic;
  }

  /** How many of a kind are finished. */
  count(kind: Kind): number {
    return this.#counts[kind] ?? 0;
  }

  /** How many of all kinds are. */
  get finished(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  /** Waits for those that are under way now. */
  async settled(): Promise<void> {
    await Promise.all(this.#open);
  }

  /** Begins no more, and waits for what is under way. */
  async stop(): Promise<TrafficReport> {
    clearInterval(this.#timer);
    this.#stopped = true;
    while (this.#open.size > 0) await Promise.all(this.#open);
    this.#agent.destroy();
    return { counts: this.#counts, failures: this.#failures, slowestMs: this.#slowestMs };
  }

  #dropIdle(): void {
    for (const sockets of Object.values(this.#agent.freeSockets))
      for (const socket of sockets ?? []) socket.destroy();
  }

  #begin(kind: string, act: () => Promise<string | undefined>): void {
    if (this.#stopped) return;
    const at = Math.round(performance.now() - this.#startMs);
    const done = act()
      .catch((error: unknown) => `${String(error)} (${(error as { code?: string }).code ?? ""})`)
      .then((failure) => {
        this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
        const ms = Math.round(performance.now() - this.#startMs) - at;
        if (failure !== undefined)
          this.#failures.push(`${kind} begun at ${at} ms, after ${ms} ms: ${failure}`);
        else this.#slowestMs[kind] = Math.max(this.#slowestMs[kind] ?? 0, ms);
        this.#open.delete(done);
      });
    this.#open.add(done);
  }

  /** Undefined if the answer is whole and right. */
  async #ask(method: string, path: string, body: string, expected: string): Promise<string | undefined> {
    const { status, text } = await this.#request(method, path, body);
    return status === 200 && text === expected ? undefined : `${status} ${text.slice(0, 100)}`;
  }

  async #events(): Promise<string | undefined> {
    const { status, text } = await this.#request("GET", `/events?count=${EVENTS}&ms=${this.#eventMs}`, "");
    const ids = [...text.matchAll(/^id: (\d+)$/gm)].map(([, id]) => Number(id));
    return status === 200 && ids.length === EVENTS
      ? undefined
      : `${status}, ${ids.length} of ${EVENTS} events`;
  }

  #fields(): Record<string, string> {
    const credential = this.#credential?.();
    return {
      "x-piko-endpoint": this.#endpoint,
      ...(credential === undefined ? {} : { authorization: credential }),
    };
  }

  #request(method: string, path: string, body: string): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const [host, port] = this.#proxy().split(":");
      const headers = { ...this.#fields(), "content-length": body.length };
      const options = { host, port, method, path, headers, agent: this.#agent, ...this.#tls?.() };
      const request = (this.#tls === undefined ? httpRequest : httpsRequest)(options, (response) => {
        let text = "";
        response.setEncoding("latin1");
        response.on("data", (piece: string) => (text += piece));
        response.on("error", reject);
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
      });
      request.on("error", reject);
      request.end(body);
    });
  }

  #webSocket(): Promise<string | undefined> {
    return new Promise((resolve) => {
      const scheme = this.#tls === undefined ? "ws" : "wss";
      const socket = new WebSocket(`${scheme}://${this.#proxy()}/ws`, {
        headers: this.#fields(),
        ...this.#tls?.(),
      });
      let echoes = 0;
      socket.on("open", () => socket.send("0"));
      socket.on("message", (message: Buffer) => {
        if (message.toString("latin1") !== String(echoes)) {
          resolve(`message ${message.toString("latin1")} in place of ${echoes}`);
          socket.terminate();
        } else if (++echoes === EVENTS) {
          socket.close(1000);
        } else {
          setTimeout(() => socket.send(String(echoes)), this.#eventMs);
        }
      });
      socket.on("error", (error) => resolve(String(error)));
      socket.on("close", (code) =>
        resolve(
          echoes === EVENTS && code === 1000
            ? undefined
            : `closed with ${code} behind ${echoes} of ${EVENTS}`,
        ),
      );
    });
  }
}
