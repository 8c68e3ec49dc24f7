// An upstream connected to a test server, on a clock that the test advances; closed after the test.

import { FakeClock } from "@piko/testkit";
import type { StreamHandler, YamuxStream } from "@piko/tunnel";
import { describeTunnels } from "../src/tunnel-status.js";
import { Upstream } from "../src/upstream.js";
import type { UpstreamOptions } from "../src/upstream-options.js";
import { TestServer, type TestTunnel } from "./test-server.js";

const cleanUps: (() => unknown)[] = [];

/** To be passed to `afterEach`. */
export async function closeStages(): Promise<void> {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
}

/** An upstream on a clock that the test advances, with the events that it reported. */
export class UpstreamStage {
  readonly clock = new FakeClock();
  readonly events: string[] = [];
  readonly logged: string[] = [];
  readonly streams: YamuxStream[] = [];
  readonly upstream: Upstream;
  readonly server: TestServer;
  readonly #waiting = new Set<() => void>();
  #delayMs = 0;
  /** Delay of the latest search for another node. */
  searchDelayMs = 0;

  /** Starts an upstream with a server of our kind, unless `extra` replaces the fields of its 101; closed after the test. */
  static async start(options: Partial<UpstreamOptions> = {}, extra?: string): Promise<UpstreamStage> {
    const server = await TestServer.start();
    cleanUps.push(() => server.close());
    if (extra !== undefined) server.extra = extra;
    return new UpstreamStage(server, options);
  }

  /** The same, with an open tunnel. */
  static async connected(options: Partial<UpstreamOptions> = {}, extra?: string): Promise<UpstreamStage> {
    const stage = await UpstreamStage.start(options, extra);
    await stage.upstream.start();
    await stage.event("connected");
    return stage;
  }

  constructor(server: TestServer, options: Partial<UpstreamOptions> = {}) {
    this.server = server;
    const log =
      (level: string) =>
      (message: string, fields?: Record<string, unknown>): void => {
        this.logged.push(`${level}: ${message}`);
        if (message === "looking for another node") this.searchDelayMs = Number(fields?.["retry-in-ms"]);
        this.#wake();
      };
    this.upstream = new Upstream({
      url: server.url,
      endpointId: "e",
      tunnels: 1,
      clock: this.clock,
      random: () => 0.5,
      logger: { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") },
      handler: {
        onStream: (stream) => {
          this.streams.push(stream);
          this.#changed("stream");
          return echo(stream);
        },
      },
      on: {
        connected: ({ nodeId, replaced }) => this.#changed(`connected ${nodeId} ${replaced}`),
        ...(options.tunnels === undefined
          ? {}
          : { changed: (tunnels) => this.#changed(`changed ${describeTunnels(tunnels)}`) }),
        disconnected: (error) =>
          this.#changed(`disconnected ${(error as { code?: string } | undefined)?.code}`),
        reconnecting: (delayMs, attempt) => {
          this.#delayMs = delayMs;
          this.#changed(`reconnecting ${delayMs} ${attempt}`);
        },
      },
      ...options,
    });
    cleanUps.push(() => this.upstream.close());
  }

  /** Waits for the next event that begins like this, and returns the events up to it. */
  async event(beginning: string): Promise<string[]> {
    for (;;) {
      const at = this.events.findIndex((each) => each.startsWith(beginning));
      if (at >= 0) return this.events.splice(0, at + 1);
      await this.#nextChange();
    }
  }

  /** Waits for the announcement of an attempt, and advances the clock by its delay. */
  async retry(): Promise<void> {
    await this.event("reconnecting");
    this.clock.advance(this.#delayMs);
  }

  /** Waits for a search for another node, advances the clock by its delay, and waits until a node of this name has answered. */
  async attempt(nodeId?: string): Promise<void> {
    await this.logs("debug: looking for another node");
    if (nodeId !== undefined) this.server.becomeNode(nodeId);
    const { length } = this.server.requests;
    this.clock.advance(this.searchDelayMs);
    await this.server.until(() => this.server.requests.length > length);
  }

  /** Waits for a log line that begins like this, and forgets those before it. */
  async logs(beginning: string): Promise<void> {
    for (;;) {
      const at = this.logged.findIndex((line) => line.startsWith(beginning));
      if (at >= 0) {
        this.logged.splice(0, at + 1);
        return;
      }
      await this.#nextChange();
    }
  }

  async tunnel(count: number): Promise<TestTunnel> {
    return await this.server.until(() => this.server.tunnels[count - 1]);
  }

  #changed(event: string): void {
    this.events.push(event);
    this.#wake();
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.add(resolve));
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

function echo(stream: YamuxStream): StreamHandler {
  return {
    onData: (buffer, start, end) => {
      stream.write(buffer, start, end);
      stream.consume(end - start);
    },
    onEnd: () => stream.end(),
    onWritable: () => {},
    onReset: () => {},
  };
}

/** Sends `text` on a new stream, which stays open, and returns the answer. */
export function exchange(
  tunnel: TestTunnel,
  text: string,
): { stream: YamuxStream; answer: Promise<string>; end: Promise<string> } {
  let answered: (text: string) => void = () => {};
  let ended: (how: string) => void = () => {};
  const answer = new Promise<string>((resolve) => {
    answered = resolve;
  });
  const end = new Promise<string>((resolve) => {
    ended = resolve;
  });
  const stream = tunnel.open({
    onData: (buffer, from, to) => answered(buffer.toString("latin1", from, to)),
    onEnd: () => ended("end"),
    onWritable: () => {},
    onReset: () => {
      answered("reset");
      ended("reset");
    },
  });
  stream.write(Buffer.from(text), 0, text.length);
  return { stream, answer, end };
}

/** Whether a stream that is opened now is refused before a handler has seen it. */
export async function isRefused(tunnel: TestTunnel): Promise<boolean> {
  return await new Promise((resolve) => {
    const stream: YamuxStream = tunnel.open({
      onData: () => resolve(false),
      onEnd: () => resolve(false),
      onWritable: () => {},
      onReset: () => resolve(stream.refused),
    });
    stream.write(Buffer.from("hello"), 0, 5);
  });
}
