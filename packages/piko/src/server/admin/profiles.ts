// Sampling profiles of the process: CPU time and heap allocations. Served only with authentication. Heap snapshots aren't
// offered: they contain every token that passes through, and stop the node while they are written.

import { Session } from "node:inspector/promises";
import type { ServerResponse } from "node:http";
import type { Clock } from "@piko/tunnel";
import { type Route, send, sendError } from "../../net/route-server.js";

const DEFAULT_SECONDS = 30;
const MAX_SECONDS = 300;
/** Interval of CPU samples: 1,000 a second. */
const CPU_INTERVAL_US = 1_000;
/** Average number of bytes per sample of the heap: V8's default. */
const HEAP_INTERVAL_BYTES = 32_768;
/** Interval of spaces before the JSON: they mean nothing there, and keep the connection from being closed as idle. */
const HEARTBEAT_MS = 5_000;

export class Profiles {
  readonly #clock: Clock;
  #running = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The route of a path below `/debug/pprof`; undefined for one that doesn't exist. */
  find(path: string): Route | undefined {
    if (path === "/debug/pprof/profile")
      return (response) => this.#answer(response, "cpuprofile", profileCpu);
    if (path === "/debug/pprof/heap") return (response) => this.#answer(response, "heapprofile", profileHeap);
    return undefined;
  }

  async #answer(response: ServerResponse, kind: string, profile: typeof profileCpu): Promise<void> {
    const query = new URLSearchParams((response.req.url ?? "").split("?", 2)[1]);
    const seconds = Number(query.get("seconds") ?? DEFAULT_SECONDS);
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > MAX_SECONDS) {
      sendError(response, 400, `seconds must be a whole number between 1 and ${MAX_SECONDS}`);
      return;
    }
    if (this.#running) {
      sendError(response, 409, "another profile is being taken");
      return;
    }
    if (response.req.method === "HEAD") {
      send(response, 200, { "Content-Type": "application/json" });
      return;
    }
    this.#running = true;
    response.writeHead(200, {
      "Content-Type": "application/json",
      "Content-Disposition": `attachment; filename="piko.${kind}"`,
    });
    // `close` follows, and ends the wait.
    response.once("error", () => {});
    try {
      const text = await profile(() => this.#wait(response, seconds * 1_000));
      response.end(text);
    } finally {
      this.#running = false;
    }
  }

  /** Resolves after `ms`, or when the client has disconnected. */
  #wait(response: ServerResponse, ms: number): Promise<void> {
    const clock = this.#clock;
    const endMs = clock.now() + ms;
    return new Promise((resolve) => {
      const step = (): void => {
        response.write(" ");
        timer = clock.setTimeout(next, Math.min(HEARTBEAT_MS, endMs - clock.now()));
      };
      const next = (): void => {
        if (clock.now() >= endMs) done();
        else step();
      };
      const done = (): void => {
        clock.clearTimeout(timer);
        response.off("close", done);
        resolve();
      };
      let timer = clock.setTimeout(next, Math.min(HEARTBEAT_MS, ms));
      response.write(" ");
      response.once("close", done);
    });
  }
}

/** Takes a `.cpuprofile` while `wait` runs. */
async function profileCpu(wait: () => Promise<void>): Promise<string> {
  return await inSession(async (session) => {
    await session.post("Profiler.enable");
    await session.post("Profiler.setSamplingInterval", { interval: CPU_INTERVAL_US });
    await session.post("Profiler.start");
    await wait();
    const { profile } = await session.post("Profiler.stop");
    return JSON.stringify(profile);
  });
}

/** Takes a `.heapprofile` of the memory that was allocated while `wait` ran and is still in use. */
async function profileHeap(wait: () => Promise<void>): Promise<string> {
  return await inSession(async (session) => {
    await session.post("HeapProfiler.startSampling", { samplingInterval: HEAP_INTERVAL_BYTES });
    await wait();
    const { profile } = await session.post("HeapProfiler.stopSampling");
    return JSON.stringify(profile);
  });
}

async function inSession(run: (session: Session) => Promise<string>): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    return await run(session);
  } finally {
    session.disconnect();
  }
}
