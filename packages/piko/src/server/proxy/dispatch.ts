// Finds an upstream for a request and sends it: tries another one when a stream is lost before its response, and waits
// for an endpoint whose last upstream has just gone.

import type { StreamHandler } from "@piko/tunnel";
import type { HttpError } from "../../http/errors.js";
import { RemoteNode } from "../cluster/cluster-table.js";
import type { EndpointTunnels } from "../upstream/endpoint-tunnels.js";
import { WAITS_FULL, type Waiter } from "../upstream/reconnect-waits.js";
import type { Tunnel } from "../upstream/tunnel.js";
import { REROUTE_FIELD } from "./forwarded.js";
import type { ProxyContext } from "./proxy-context.js";
import { ENDPOINT_BUSY, TOO_MANY_WAITING, UPSTREAMS_BUSY } from "./proxy-limits.js";
import { RequestUpload } from "./request-upload.js";
import type { UpstreamStream } from "./upstream-stream.js";

/** Upstreams that one request is sent to, at most. */
const MAX_TRIES = 3;
/** RFC 9110 section 9.2.2. */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** The exchange, as its dispatch sees it. */
export interface DispatchOwner extends StreamHandler {
  /** The request is on its way on this stream; `late`: it has waited, or was on another one before. */
  onStream(stream: UpstreamStream, halfClose: boolean, late: boolean): void;
  /** There is no upstream for the request. */
  onNoUpstream(message: string, extra?: string): void;
  /** A limit keeps the request from an upstream. */
  refuse(error: HttpError): void;
  /** Whether the client should be read from: not while its bytes have nowhere to go. */
  onUploadBlocked(blocked: boolean): void;
}

export class Dispatch implements Waiter {
  readonly upload: RequestUpload;
  readonly #owner: DispatchOwner;
  readonly #context: ProxyContext;
  #endpointId = "";
  /** The endpoint is named by the request's host, so its spelling may differ in case. */
  #byHost = false;
  #method = "";
  #triesLeft = 0;
  #late = false;
  /** The upstream that has just failed the request; it isn't asked again at once. */
  #failed: Tunnel | RemoteNode | undefined = undefined;
  #upstream: Tunnel | RemoteNode | undefined = undefined;
  /** Where the request is counted as one in flight. */
  #endpoint: EndpointTunnels | undefined = undefined;
  /** The request goes to no other node: it has made its hop, or its client wants none. */
  #lastNode = false;
  /** Another node has sent it, and knows of further ones. */
  #fromNode = false;
  /** Only another node can take the request: what comes here as an upgrade is a plain stream to an agent. */
  #nodesOnly = false;
  /** Until when the request waits for an upstream to come back; 0 when it doesn't. */
  #waitUntilMs = 0;

  constructor(owner: DispatchOwner, context: ProxyContext) {
    this.#owner = owner;
    this.#context = context;
    this.upload = new RequestUpload(context.budget, context.config.limits.maxBufferedBytesPerConnection);
  }

  get waiting(): boolean {
    return this.#waitUntilMs !== 0;
  }

  /** Starts on a request; its head goes to `upload`, then `connect` follows. */
  begin(
    endpointId: string,
    byHost: boolean,
    method: string,
    lastNode: boolean,
    fromNode: boolean,
    nodesOnly: boolean,
  ): void {
    this.#endpointId = endpointId;
    this.#byHost = byHost;
    this.#nodesOnly = nodesOnly;
    this.#lastNode = lastNode;
    this.#fromNode = fromNode;
    this.#method = method;
    this.#triesLeft = MAX_TRIES;
    this.#late = false;
    this.#failed = undefined;
    this.upload.begin();
  }

  /** Finds an upstream and sends what there is of the request, or waits for one that has just gone. */
  connect(): void {
    const { upstreams } = this.#context;
    const endpoint = this.#nodesOnly ? undefined : upstreams.find(this.#endpointId);
    if (endpoint !== undefined && !this.#enter(endpoint)) {
      this.#owner.refuse(ENDPOINT_BUSY);
      return;
    }
    if (this.#startOn(endpoint?.select(this.#failed))) return;
    const draining = endpoint?.selectDraining(this.#failed);
    const { cluster } = this.#context;
    const hop = this.#lastNode
      ? undefined
      : cluster?.openStream(this.#endpointId, this.#owner, this.#failed, draining !== undefined);
    if (hop !== undefined) {
      // Whether the other end of the hop knows half-closes isn't known here.
      this.#start(hop.node, hop.stream, false);
      return;
    }
    if (this.#startOn(draining)) return;
    if ((endpoint ?? upstreams.find(this.#endpointId))?.isFull(this.#failed)) {
      this.#context.upstreamMetrics.limits.hit("max_streams_per_tunnel");
      this.#owner.refuse(UPSTREAMS_BUSY);
      return;
    }
    if (this.#byHost && this.#changeCase()) {
      this.connect();
      return;
    }
    if (this.#fromNode) {
      // The node that sent it knows more: the endpoint may be on another one by now.
      this.#owner.onNoUpstream("no available upstreams", REROUTE_FIELD);
      return;
    }
    // The node or agent that was to have the endpoint hasn't, or is gone: the endpoint may turn up elsewhere in a moment.
    if (this.#failed instanceof RemoteNode || this.#failed?.usable === false) {
      upstreams.waits.onLost(this.#endpointId);
    }
    const until = upstreams.waits.wait(this.#endpointId, this);
    if (until === WAITS_FULL) {
      this.#owner.refuse(TOO_MANY_WAITING);
      return;
    }
    if (until === undefined) {
      this.#owner.onNoUpstream(
        this.#failed === undefined ? "no available upstreams" : "upstream unreachable",
      );
      return;
    }
    this.#waitUntilMs = until;
    this.#owner.onUploadBlocked(true);
  }

  /**
   * The stream ended before the response. Another upstream gets the request if the first can't have acted on it, or if
   * acting twice does no harm, and if all of it is still at hand. `stale`: it may also go to the same one again.
   */
  onLost(refused: boolean, stale: boolean): void {
    if (!this.upload.replayable || this.#triesLeft === 0 || !(refused || IDEMPOTENT.has(this.#method))) {
      this.#owner.onNoUpstream("upstream unreachable");
      return;
    }
    this.#failed = stale ? undefined : this.#upstream;
    this.#late = true;
    this.connect();
  }

  onUpstream(): void {
    this.#waitUntilMs = 0;
    this.#failed = undefined;
    this.#late = true;
    this.connect();
    if (!this.waiting && !this.upload.blocked) this.#owner.onUploadBlocked(false);
  }

  /** Gives up a wait that took too long. */
  sweep(nowMs: number): void {
    if (!this.waiting || nowMs < this.#waitUntilMs) return;
    this.#stopWaiting();
    this.#owner.onNoUpstream("no available upstreams");
  }

  /** The request is over. */
  clear(): void {
    if (this.waiting) this.#stopWaiting();
    this.upload.clear();
    this.#upstream = undefined;
    this.#failed = undefined;
    if (this.#endpoint !== undefined) this.#endpoint.requests--;
    this.#endpoint = undefined;
  }

  /** Counts the request as one in flight at the endpoint; false if there are too many. */
  #enter(endpoint: EndpointTunnels): boolean {
    if (endpoint === this.#endpoint) return true;
    if (endpoint.requests >= this.#context.config.limits.maxRequestsPerEndpoint) return false;
    if (this.#endpoint !== undefined) this.#endpoint.requests--;
    this.#endpoint = endpoint;
    endpoint.requests++;
    return true;
  }

  /** Sends the request to a tunnel, if there is one and it takes it. */
  #startOn(tunnel: Tunnel | undefined): boolean {
    const stream = tunnel?.openStream(this.#owner);
    if (tunnel === undefined || stream === undefined) return false;
    this.#context.upstreamMetrics.requests++;
    this.#start(tunnel, stream, tunnel.drainable);
    return true;
  }

  #start(upstream: Tunnel | RemoteNode, stream: UpstreamStream, halfClose: boolean): void {
    if (this.#failed !== undefined) this.#context.upstreamMetrics.retries++;
    this.#triesLeft--;
    this.#upstream = upstream;
    this.#owner.onStream(stream, halfClose, this.#late);
    this.upload.replay(stream);
    if (this.upload.blocked) this.#owner.onUploadBlocked(true);
  }

  /**
   * Host names have no case (RFC 9110 section 4.2.3), endpoint ids do: where there is no endpoint as the host spells it,
   * the one in lower case is meant. True if there is one.
   */
  #changeCase(): boolean {
    this.#byHost = false;
    const lower = this.#endpointId.toLowerCase();
    if (lower === this.#endpointId || this.#isKnown(this.#endpointId) || !this.#isKnown(lower)) return false;
    this.#endpointId = lower;
    return true;
  }

  /** Something listens on the endpoint, here or elsewhere, or did a moment ago. */
  #isKnown(endpointId: string): boolean {
    const { cluster, upstreams } = this.#context;
    if (upstreams.find(endpointId) !== undefined || upstreams.waits.remembers(endpointId)) return true;
    return cluster?.table.hasEndpoint(endpointId) === true;
  }

  #stopWaiting(): void {
    this.#waitUntilMs = 0;
    this.#context.upstreams.waits.cancel(this.#endpointId, this);
  }
}
