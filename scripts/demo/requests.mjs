// The demo's client: single requests to the endpoint, and a steady load that counts failures.

import { request as httpRequest } from "node:http";

export const HOST = "127.0.0.1";
export const ENDPOINT = "demo";

/** Timeout of a request. */
const REQUEST_MS = 10_000;
const CLIENTS = 4;
/** Pause of each client between its requests, because the machine may be someone's laptop. */
const PAUSE_MS = 10;

/** Sends a request to the endpoint on a connection of its own; `until` may end the reading of an endless body. */
export function ask(port, path, { until = () => false } = {}) {
  return new Promise((resolve, reject) => {
    const startMs = performance.now();
    const options = { host: HOST, port, path, agent: false, headers: { "x-piko-endpoint": ENDPOINT } };
    const request = httpRequest(options, (response) => {
      let body = "";
      const finish = () => {
        const { statusCode: status, statusMessage, headers } = response;
        clearTimeout(timer);
        resolve({ status, statusMessage, headers, body, ms: performance.now() - startMs });
        request.destroy();
      };
      response.setEncoding("utf8").on("data", (text) => {
        body += text;
        if (until(body)) finish();
      });
      response.on("end", finish).on("error", fail);
    });
    const fail = (error) => {
      clearTimeout(timer);
      reject(new Error(`GET ${path} through the tunnel: ${error.message}`, { cause: error }));
    };
    const timer = setTimeout(() => request.destroy(new Error(`no answer in ${REQUEST_MS} ms`)), REQUEST_MS);
    request.on("error", fail);
    request.end();
  });
}

/** Clients that keep sending requests. */
export class Load {
  /** Requests so far, those with no response or a wrong one, and those that were retried. */
  count = 0;
  failures = [];
  repeated = 0;
  #port;
  #stopped = false;
  #clients;

  constructor(port) {
    this.#port = port;
    this.#clients = Array.from({ length: CLIENTS }, () => this.#run());
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async #run() {
    while (!this.#stopped) {
      const failure = await this.#get();
      this.count++;
      if (failure !== undefined) this.failures.push(failure);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** One GET. If its connection breaks, it is retried once, as a browser would do. */
  async #get(again = true) {
    try {
      const { status, body } = await ask(this.#port, "/hello");
      return status === 200 ? undefined : `${status} ${body.trim()}`;
    } catch (error) {
      if (!again) return error.message;
      this.repeated++;
      return this.#get(false);
    }
  }
}
