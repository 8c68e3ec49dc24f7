// Requests that continue until a test has seen enough.

import { eventually } from "./deadline.js";
import type { RunningServer } from "./piko.js";

/** A request to an endpoint through a node's proxy port. */
export function ask(
  server: RunningServer,
  endpoint: string,
  path: string,
  init: RequestInit = {},
): Promise<Response> {
  const headers = { "x-piko-endpoint": endpoint, ...(init.headers as Record<string, string>) };
  return fetch(`http://${server.proxy}${path}`, { ...init, headers });
}

/** Running requests; answers other than 200 are recorded. */
export interface Load {
  /** Waits until this number of further requests has been answered. */
  more(requests: number): Promise<unknown>;
  /** Stops the requests, and returns the failures. */
  stop(): Promise<string[]>;
}

/** Sends requests to an endpoint, one of each of `methods` at a time, until stopped. */
export function keepAsking(server: RunningServer, endpoint: string, methods: readonly string[]): Load {
  const failures: string[] = [];
  let count = 0;
  const stop = new AbortController();
  const loop = async (method: string): Promise<void> => {
    while (!stop.signal.aborted) {
      const init = method === "POST" ? { method, body: "hello" } : { method };
      const path = method === "POST" ? "/echo" : "/item?i=1";
      const answer = await ask(server, endpoint, path, init).then(
        async (response) => `${response.status} ${await response.text()}`,
        String,
      );
      count++;
      if (!answer.startsWith("200")) failures.push(`${method} ${answer}`);
    }
  };
  const done = Promise.all(methods.map(loop));
  return {
    more: (requests) => {
      const until = count + requests;
      return eventually(() => count >= until, `${requests} more answers`);
    },
    stop: async () => {
      stop.abort();
      await done;
      return failures;
    },
  };
}
