// The streams that nodes open for an HTTP service. Each gets a client's side with its exchange, reused if possible, so that
// a request makes no long-lived allocations.

import type { StreamHandler, YamuxStream } from "@piko/tunnel";
import { NOBODY, ServedBy } from "../observability/served-by.js";
import type { HttpService } from "./http-service.js";
import { StreamClient } from "./stream-client.js";

/** Maximum number of unused client's sides that are kept; each has at most about 6 KiB. */
const MAX_SPARE = 256;

export class HttpStreams {
  readonly #service: HttpService;
  readonly #spare: StreamClient[] = [];
  /** The node that opened the last stream. */
  #nodeId = "";
  #node: ServedBy = NOBODY;
  readonly #giveBack: (client: StreamClient) => boolean;

  constructor(service: HttpService) {
    this.#service = service;
    this.#giveBack = (client) => this.#spare.length < MAX_SPARE && this.#spare.push(client) > 0;
  }

  /** Accepts a stream that a node opened; returns its handler. `nodeId`: undefined if the node doesn't send its id. */
  open(stream: YamuxStream, halfClose: boolean, nodeId: string | undefined): StreamHandler {
    const client = this.#spare.pop() ?? new StreamClient(this.#service, this.#giveBack);
    client.open(stream, halfClose, this.#nodeOf(nodeId));
    return client;
  }

  #nodeOf(nodeId: string | undefined): ServedBy {
    if (nodeId === undefined) return NOBODY;
    if (nodeId === this.#nodeId) return this.#node;
    this.#nodeId = nodeId;
    this.#node = new ServedBy({ "node-id": nodeId });
    return this.#node;
  }
}
