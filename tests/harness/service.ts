// The service behind the tunnel in most tests: a node:http server in the test's own process, with one route for each kind of
// behavior, which records its requests.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { PatternChecker, PatternSource } from "@piko/testkit";
import { within } from "./deadline.js";
import { ServiceUpgrades } from "./service-upgrades.js";
import type { Stage } from "./stage.js";

/** One request as the service received it. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<IncomingMessage["headers"]>;
  readonly rawHeaders: readonly string[];
  /** Resolves if the request's connection or stream ends before the response is complete. */
  readonly aborted: Promise<void>;
}

type Route = (
  request: IncomingMessage,
  response: ServerResponse,
  query: URLSearchParams,
) => Promise<void> | void;

/** A running service. */
export class Service {
  readonly addr: string;
  readonly requests: SeenRequest[] = [];
  readonly upgrades: ServiceUpgrades;
  /** Number of connections accepted so far. */
  connections = 0;
  readonly #server: Server;
  readonly #waiting = new Set<() => void>();

  private constructor(server: Server, addr: string) {
    this.#server = server;
    this.addr = addr;
    this.upgrades = new ServiceUpgrades(server);
    server.on("connection", () => this.connections++);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.#remember(request, response);
      void answer(request, response);
    });
    server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
      this.#remember(request, response);
      if (request.url?.startsWith("/refuse")) {
        response.writeHead(413, { "content-length": 0, connection: "close" }).end();
        return;
      }
      response.writeContinue();
      void answer(request, response);
    });
  }

  /** Starts a service on `port`; by default, the system chooses one. */
  static async start(stage: Stage, port = 0): Promise<Service> {
    const server = createServer();
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    const service = new Service(server, `127.0.0.1:${(server.address() as AddressInfo).port}`);
    stage.defer(() => service.stop());
    return service;
  }

  get port(): number {
    return Number(this.addr.split(":")[1]);
  }

  /** The next request whose URL begins with `prefix`, or one that has already arrived. */
  request(prefix: string): Promise<SeenRequest> {
    return within(this.#find(prefix), `request for ${prefix} at the service`);
  }

  /** Drops all connections and stops listening. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    this.upgrades.closeAll();
    await closed;
  }

  async #find(prefix: string): Promise<SeenRequest> {
    for (;;) {
      const seen = this.requests.find(({ url }) => url.startsWith(prefix));
      if (seen !== undefined) return seen;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  #remember(request: IncomingMessage, response: ServerResponse): void {
    const aborted = new Promise<void>((resolve) => {
      response.on("close", () => {
        if (!response.writableFinished) resolve();
      });
    });
    this.requests.push({
      method: request.method ?? "",
      url: request.url ?? "",
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      aborted,
    });
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

/** Answers as the service does, for a test's own servers. */
export async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://service");
  const name = url.pathname.split("/")[1] ?? "";
  const route = routes[name];
  response.on("error", () => {});
  if (route === undefined) {
    response.writeHead(404, { "content-type": "application/x-missing" }).end();
    return;
  }
  try {
    await route(request, response, url.searchParams);
  } catch {
    // The client has disconnected; `aborted` reports that to the test.
    response.destroy();
  }
}

const number = (query: URLSearchParams, name: string, otherwise = 0): number =>
  Number(query.get(name) ?? otherwise);

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms).unref());

const routes: Readonly<Record<string, Route>> = {
  /** Echoes the body as it arrives, chunked unless its length is known. */
  echo: async (request, response) => {
    const length = request.headers["content-length"];
    response.writeHead(200, length === undefined ? {} : { "content-length": length });
    for await (const piece of request) {
      if (!response.write(piece)) await once(response, "drain");
    }
    response.end();
  },

  /** Answers what arrived, as JSON. */
  reflect: async (request, response) => {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const { method, url, httpVersion, headers, rawHeaders, trailers } = request;
    const body = Buffer.concat(pieces).toString("latin1");
    const text = JSON.stringify({ method, url, httpVersion, headers, rawHeaders, trailers, body });
    response.writeHead(200, {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(text),
    });
    response.end(text);
  },

  /** Reads a body of the test pattern; answers its length and checksum, and where it differs. */
  sum: async (request, response) => {
    const hash = createHash("sha256");
    const checker = new PatternChecker();
    for await (const piece of request) {
      hash.update(piece as Buffer);
      checker.update(piece as Buffer);
    }
    const { offset: bytes, mismatchAt } = checker;
    response.end(JSON.stringify({ bytes, mismatchAt, sha256: hash.digest("hex") }));
  },

  /** Answers ?n= bytes of the test pattern; with ?chunked, without a length. */
  bytes: async (_request, response, query) => {
    const total = number(query, "n");
    response.writeHead(200, query.has("chunked") ? {} : { "content-length": total });
    for (const piece of new PatternSource(total)) {
      if (!response.write(piece)) await once(response, "drain");
    }
    response.end();
  },

  /** Answers a chunked body with trailers. */
  trailers: (_request, response) => {
    response.writeHead(200, { trailer: "x-sum, x-count" });
    response.write("body");
    response.addTrailers({ "x-sum": "abc", "x-count": "4" });
    response.end();
  },

  /** Sends a 103, and the response ?ms= later. */
  hints: async (_request, response, query) => {
    response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
    await pause(number(query, "ms"));
    response.end("late");
  },

  /** Sends an event every ?ms=, ?count= in total. */
  events: async (_request, response, query) => {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
    response.flushHeaders();
    for (let i = 0; i < number(query, "count", 3); i++) {
      await pause(number(query, "ms", 10));
      response.write(`id: ${i}\ndata: ${Date.now()}\n\n`);
    }
    response.end();
  },

  /** Waits ?head= ms before the head and ?body= ms before the body. */
  slow: async (_request, response, query) => {
    await pause(number(query, "head"));
    response.writeHead(200, { "content-length": 2 });
    response.flushHeaders();
    await pause(number(query, "body"));
    response.end("ok");
  },

  /** Never answers; with ?head it sends a head and one byte, and never the rest. */
  hang: (_request, response, query) => {
    if (query.has("head")) response.writeHead(200, { "content-length": 10 }).write("x");
  },

  /** Any status: /status/404. */
  status: (request, response) => {
    const status = Number(request.url?.split("/")[2]);
    const fields: Record<string, string> = { etag: '"v1"', "x-kept": "yes" };
    response
      .writeHead(status, status === 204 || status === 304 ? fields : { ...fields, "content-length": "0" })
      .end();
  },

  redirect: (_request, response) => {
    response.writeHead(302, { location: "/reflect?from=redirect", "content-length": 0 }).end();
  },

  /** Sends half of a body and closes the connection: ?chunked, or else with a length. */
  broken: (_request, response, query) => {
    response.writeHead(200, query.has("chunked") ? {} : { "content-length": 1000 });
    response.write("x".repeat(500), () => response.socket?.destroy());
  },

  /** A page whose script fetches ?n= resources concurrently, and writes the result into the document. */
  page: (_request, response, query) => {
    response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>page</title>
<p id="outcome">loading</p>
<script>
const fetches = Array.from({ length: ${number(query, "n")} }, (_, i) =>
  fetch("/item?i=" + i + "&ms=" + (i % 7) * 5).then((answer) => answer.text()).then((text) => text === "item " + i));
Promise.all(fetches).then((right) => {
  document.getElementById("outcome").textContent = "right: " + right.filter(Boolean).length;
}, (error) => { document.getElementById("outcome").textContent = "failed: " + error; });
</script>`);
  },

  item: async (_request, response, query) => {
    await pause(number(query, "ms"));
    response.end(`item ${query.get("i")}`);
  },
};
