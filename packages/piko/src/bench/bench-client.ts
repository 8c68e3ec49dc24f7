// One client of a benchmark: it has its own connection to the proxy port, and sends one request after another.

import * as http from "node:http";
import * as https from "node:https";
import type { Clock } from "@piko/tunnel";
import { formatDuration } from "../base/duration.js";

/** What all clients of a benchmark share. */
export interface BenchClientOptions {
  /** Base URL of the proxy port. */
  readonly proxyUrl: string;
  /** Body of each request; the response must have the same. */
  readonly body: Buffer;
  /** Timeout of a request. */
  readonly timeoutMs: number;
  readonly clock: Clock;
}

export class BenchClient {
  readonly #options: BenchClientOptions;
  readonly #request: typeof http.request;
  readonly #agent: http.Agent;

  constructor(options: BenchClientOptions) {
    const secure = options.proxyUrl.startsWith("https:");
    this.#options = options;
    this.#request = secure ? https.request : http.request;
    this.#agent = new (secure ? https.Agent : http.Agent)({ keepAlive: true, maxSockets: 1 });
  }

  /** Sends one request to an endpoint. Resolves to undefined, or to the kind of error that occurred; never rejects. */
  send(endpointId: string): Promise<string | undefined> {
    const { body, clock, proxyUrl, timeoutMs } = this.#options;
    return new Promise((resolve) => {
      const outgoing = this.#request(`${proxyUrl}/`, {
        agent: this.#agent,
        headers: {
          "x-piko-endpoint": endpointId,
          ...(body.length === 0 ? {} : { "content-length": body.length }),
        },
      });
      const timer = clock.setTimeout(
        () => finish(`no answer in ${formatDuration(timeoutMs)}`, true),
        timeoutMs,
      );
      const finish = (kind: string | undefined, cut = false): void => {
        clock.clearTimeout(timer);
        resolve(kind);
        if (cut) outgoing.destroy();
      };
      outgoing.on("response", (answer) => {
        const expected = answer.statusCode === 200 ? body : undefined;
        let received = 0;
        let wrong = false;
        answer.on("data", (piece: Buffer) => {
          const end = received + piece.length;
          if (expected !== undefined) wrong ||= !expected.subarray(received, end).equals(piece);
          received = end;
        });
        answer.on("error", (error) => finish(kindOf(error)));
        answer.on("end", () => {
          if (expected === undefined) finish(`status ${answer.statusCode}`);
          else finish(wrong || received !== expected.length ? "wrong body" : undefined);
        });
      });
      outgoing.on("error", (error) => finish(kindOf(error)));
      outgoing.end(body);
    });
  }

  /** Closes the connection; a request in progress fails. */
  close(): void {
    this.#agent.destroy();
  }
}

/** The error's code, because messages contain ports and addresses. */
function kindOf(error: Error & { readonly code?: unknown }): string {
  return typeof error.code === "string" ? error.code : error.message;
}
