// `?forward=<node id>` on the admin port: forwards the request to another node, so that one reachable node is enough to
// look at all of them.

import { type IncomingHttpHeaders, type IncomingMessage, request as httpRequest } from "node:http";
import type { OutgoingHttpHeaders, ServerResponse } from "node:http";
import { request as httpsRequest } from "node:https";
import type { ConnectionOptions } from "node:tls";
import { type Clock, systemClock } from "@piko/tunnel";
import { parseHostPort } from "../../base/address.js";
import { send, sendError } from "../../net/route-server.js";
import type { Logger } from "../../observability/logger.js";
import { dialAgent } from "../../net/dial-agent.js";
import type { Cluster } from "../cluster/cluster.js";
import type { RemoteNode } from "../cluster/cluster-table.js";

/** Maximum silence of the other node, before its answer and within it. */
const SILENCE_MS = 15_000;
/** The node that forwarded a request. Such a request isn't forwarded a second time, which prevents loops. */
const FORWARDED_BY = "x-piko-forwarded-by";

/** Fields that aren't forwarded: those about one connection, and those about a body, since bodies aren't forwarded. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** The part of the cluster that is needed: this node's id, and the addresses of the others. */
export type KnownNodes = Pick<Cluster, "nodeId" | "table">;

/** TLS options of a connection to a node; undefined for a plain one. */
export type AdminTls = (node: RemoteNode, host: string) => ConnectionOptions | undefined;

export interface AdminForwardOptions {
  readonly silenceMs?: number | undefined;
  readonly clock?: Clock | undefined;
  /** TLS of connections to other nodes; undefined for plain connections. */
  readonly tls?: AdminTls | undefined;
}

export class AdminForward {
  readonly #cluster: KnownNodes;
  readonly #logger: Logger;
  readonly #silenceMs: number;
  readonly #clock: Clock;
  readonly #tls: AdminTls | undefined;

  constructor(
    cluster: KnownNodes,
    logger: Logger,
    { silenceMs = SILENCE_MS, clock = systemClock, tls }: AdminForwardOptions = {},
  ) {
    this.#cluster = cluster;
    this.#logger = logger;
    this.#silenceMs = silenceMs;
    this.#clock = clock;
    this.#tls = tls;
  }

  /** Answers a request that names another node, known or not; returns false for requests to this node. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    const query = (request.url ?? "").split("?", 2)[1];
    const id = query === undefined ? null : new URLSearchParams(query).get("forward");
    if (id === null || id === this.#cluster.nodeId) return false;
    const node = this.#cluster.table.get(id);
    if (node === undefined || !node.complete) {
      send(response, 404);
    } else if (request.headers[FORWARDED_BY] !== undefined) {
      // The named node's admin address leads here: it is wrong, or several nodes share it.
      sendError(response, 421, `wrong node: this is ${this.#cluster.nodeId}, not ${id}`);
    } else {
      this.#forward(request, response, node);
    }
    return true;
  }

  #forward(request: IncomingMessage, response: ServerResponse, node: RemoteNode): void {
    const { adminAddr, id } = node;
    const gone = new AbortController();
    // Always valid: the table accepts no address that can't be connected to.
    const target = parseHostPort(adminAddr);
    const tls = this.#tls?.(node, target.host);
    const outgoing = (tls === undefined ? httpRequest : httpsRequest)({
      ...target,
      agent: dialAgent(target, gone.signal, tls),
      method: request.method ?? "GET",
      path: request.url ?? "/",
      headers: this.#requestHeaders(request),
    });
    let late = false;
    const giveUp = (error?: Error): void => {
      outgoing.destroy(error);
      gone.abort();
    };
    const silence = this.#clock.setTimeout(() => {
      late = true;
      giveUp(new Error(`silent for ${this.#silenceMs} ms`));
    }, this.#silenceMs);
    const fail = (error: unknown): void => {
      if (response.destroyed || response.writableEnded) return;
      this.#logger.warn("could not forward request", { "node-id": id, addr: adminAddr, error });
      // A response that has begun and can't be completed must not look complete.
      if (response.headersSent) response.destroy();
      else if (late) sendError(response, 504, "upstream timeout");
      else sendError(response, 502, "upstream unreachable");
    };
    outgoing.on("error", fail);
    outgoing.once("close", () => {
      this.#clock.clearTimeout(silence);
      // For example after a 101, which Node.js doesn't report.
      if (!response.headersSent) fail(new Error("closed without an answer"));
    });
    outgoing.once("response", (incoming) => {
      incoming.once("error", () => response.destroy());
      silence.refresh();
      incoming.on("data", () => silence.refresh());
      const { statusCode = 0 } = incoming;
      // Node.js parses statuses that it refuses to write, such as 099, and an unrequested 101.
      if (statusCode < 200) {
        outgoing.destroy(new Error(`status ${statusCode}`));
        return;
      }
      response.writeHead(statusCode, responseHeaders(incoming));
      incoming.pipe(response);
    });
    response.once("close", () => giveUp());
    outgoing.end();
  }

  #requestHeaders({ headers, socket }: IncomingMessage): OutgoingHttpHeaders {
    const kept: OutgoingHttpHeaders = endToEnd(headers);
    const before = headers["x-forwarded-for"];
    const client = socket.remoteAddress ?? "";
    kept["x-forwarded-for"] = before === undefined ? client : `${String(before)}, ${client}`;
    kept[FORWARDED_BY] = this.#cluster.nodeId;
    return kept;
  }
}

function responseHeaders({ headers }: IncomingMessage): OutgoingHttpHeaders {
  const kept: OutgoingHttpHeaders = endToEnd(headers);
  const length = headers["content-length"];
  if (length !== undefined) kept["content-length"] = length;
  return kept;
}

function endToEnd(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const named = new Set((headers.connection ?? "").toLowerCase().split(/[\s,]+/));
  const kept: OutgoingHttpHeaders = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !LEFT_OUT.has(name) && !named.has(name)) kept[name] = value;
  }
  return kept;
}
