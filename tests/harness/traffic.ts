// Steady traffic of several kinds to one endpoint, at a rate that doesn't depend on the answers, and a list of all failures.

import { Agent, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import type { ConnectionOptions } from "node:tls";
import { WebSocket } from "ws";
import type { Stage } from "./stage.js";

const TICK_MS = 10;
const LONGEST_TICK_MS = 50;
/** A connection that has been idle for longer isn't reused: a node that stops closes it after a second. */
const MAX_IDLE_MS = 500;
/** Number of events in a stream, and of messages on a WebSocket. By default, each of them lasts for more than two seconds. */
const EVENTS = 10;
const EVENT_MS = 300;

/** The number of requests of each kind to begin per second. */
export interface TrafficMix {
  /** GETs with a few bytes in the answer. */
  readonly get?: number;
  /** POSTs whose few bytes are echoed. */
  readonly post?: number;
  /** GETs that take five seconds to answer. */
  readonly slow?: number;
  /** Event streams. */
  readonly events?: number;
  /** WebSockets on which each message is echoed. */
  readonly webSockets?: number;
  /** Not a rate: the time between two events of a stream, and between messages of a WebSocket. */
  readonly eventMs?: number;
}

type Kind = Exclude<keyof TrafficMix, "eventMs">;

export interface TrafficReport {
  /** Number of finished requests, by kind. */
  readonly counts: Record<string, number>;
  readonly failures: string[];
  /** Maximum duration of a successful request, by kind. */
  readonly slowestMs: Record<string, number>;
}

export class Traffic {
  readonly #proxy: () => string;
  readonly #endpoint: string;
  readonly #credential: (() => string) | undefined;
  // All connections are used in turn, so that each soon learns that its node wants to close it.
  readonly #agent: Agent;
  /** Called for each request; a connection is reused for requests with the same options. */
  readonly #tls: (() => ConnectionOptions) | undefined;
  readonly #counts: Record<string, number> = {};
  readonly #failures: string[] = [];
  readonly #slowestMs: Record<string, number> = {};
  readonly #open = new Set<Promise<void>>();
  readonly #eventMs: number;
  readonly #timer: NodeJS.Timeout;
  readonly #startMs = performance.now();
  /** For each kind, the fraction of a request that is due. */
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
      // The timers of the HTTP agent were delayed as much as this one.
      if (now - this.#tickMs > MAX_IDLE_MS) this.#dropIdle();
      for (const [kind, rate] of Object.entries(rates) as [Kind, number][]) {
        // After a pause, a process doesn't make up for the missed requests in one burst.
        const due = (this.#due[kind] ?? 0) + (Math.min(now - this.#tickMs, LONGEST_TICK_MS) / 1_000) * rate;
        this.#due[kind] = due % 1;
        for (let i = 0; i < Math.floor(due); i++) this.#begin(kind, kinds[kind]);
      }
      this.#tickMs = now;
    }, TICK_MS);
  }

  /**
   * Starts sending requests for `endpoint` to a proxy address, or to the one that the function returns for each; over TLS if
   * `tls` is given. `credential` returns the value of Authorization for each request.
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

  /** Number of finished requests of one kind. */
  count(kind: Kind): number {
    return this.#counts[kind] ?? 0;
  }

  /** Number of finished requests of all kinds. */
  get finished(): number {
    return Object.values(this.#counts).reduce((sum, count) => sum + count, 0);
  }

  /** Waits for the requests that are in progress now. */
  async settled(): Promise<void> {
    await Promise.all(this.#open);
  }

  /** Begins no more requests, and waits for those in progress. */
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

  /** Returns undefined if the answer is complete and correct, otherwise a description. */
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
