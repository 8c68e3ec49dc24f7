// Finds an upstream for a request on a node: a tunnel of its own, else another node. Tries another one when a call is lost
// before its response, and waits for an endpoint whose last upstream has just gone.

import type { Identity } from "../../auth/identity.js";
import type { Exchange } from "../../http/exchange/exchange.js";
import { type Dispatch, isIdempotent } from "../../http/exchange/dispatch.js";
import type { Seen, UpstreamCall } from "../../http/exchange/upstream-call.js";
import type { RequestHead } from "../../http/head.js";
import type { NodeClient } from "./node-client.js";
import type { ProxyContext } from "./proxy-context.js";
import { ENDPOINT_BUSY, rateRefusal, TOO_MANY_WAITING, UPSTREAMS_BUSY } from "./proxy-limits.js";
import { openTcpTunnel } from "./tcp-tunnel.js";
import { RemoteNode } from "../cluster/cluster-table.js";
import type { EndpointTunnels } from "../upstream/endpoint-tunnels.js";
import { REROUTE_FIELD } from "../upstream/hop/forwarded.js";
import { HopCall } from "../upstream/hop/hop-call.js";
import { TunnelCall } from "../upstream/tunnel-call.js";
import type { TenantUse } from "../upstream/tenant-use.js";
import type { Tunnel } from "../upstream/tunnel.js";
import { WAITS_FULL, type Waiter } from "../upstream/reconnect-waits.js";

/** Upstreams that one request is sent to, at most. */
const MAX_TRIES = 3;

/** Where a request is to go; set by the life cycle. */
export interface Target {
  endpointId: string;
  /** The endpoint is named by the request's host, so its spelling may differ in case. */
  byHost: boolean;
  method: string;
  /** Who asks; undefined where everybody may. */
  identity: Identity | undefined;
  /** The request goes to no other node: it has made its hop, or its client wants none. */
  lastNode: boolean;
  /** Another node has sent it, and knows of further ones. */
  fromNode: boolean;
  /**
   * A TCP dial: a tunnel of this node is joined to the client's socket; as a request, an upgrade, it can only go to another
   * node, which answers it.
   */
  nodesOnly: boolean;
}

export class NodeDispatch implements Dispatch, Waiter {
  readonly target: Target;
  readonly #exchange: Exchange;
  readonly #client: NodeClient;
  readonly #context: ProxyContext;
  readonly #tunnelCall: TunnelCall;
  /** Where there is a cluster, from the first hop on. */
  #hopCall: HopCall | undefined;
  #triesLeft: number;
  /** The upstream that has just failed the request; it isn't asked again at once. */
  #failed: Tunnel | RemoteNode | undefined;
  #upstream: Tunnel | RemoteNode | undefined;
  /** Where the request is counted as one in flight. */
  #endpoint: EndpointTunnels | undefined;
  /** Where it is counted as one of a tenant's. */
  #tenant: TenantUse | undefined;
  #waiting: boolean;
  /** Until when it may wait for an upstream to come back, however often it tries; 0: it has not waited yet. */
  #waitUntilMs: number;

  constructor(exchange: Exchange, client: NodeClient, context: ProxyContext) {
    this.target = {
      endpointId: "",
      byHost: false,
      method: "",
      identity: undefined,
      lastNode: false,
      fromNode: false,
      nodesOnly: false,
    };
    this.#exchange = exchange;
    this.#client = client;
    this.#context = context;
    this.#tunnelCall = new TunnelCall(exchange, context.responses);
    this.#hopCall = undefined;
    this.#triesLeft = 0;
    this.#failed = undefined;
    this.#upstream = undefined;
    this.#endpoint = undefined;
    this.#tenant = undefined;
    this.#waiting = false;
    this.#waitUntilMs = 0;
  }

  get waiting(): boolean {
    return this.#waiting;
  }

  /** A request begins; `target` says where it is to go. */
  begin(): void {
    this.#triesLeft = MAX_TRIES;
    this.#tenant = undefined;
    this.#failed = undefined;
    this.#waitUntilMs = 0;
  }

  connect(head: RequestHead | undefined): void {
    const { cluster, upstreamMetrics, upstreams } = this.#context;
    const { endpointId, fromNode, lastNode, nodesOnly } = this.target;
    if (nodesOnly && this.#joinTunnel(head)) return;
    const endpoint = nodesOnly ? undefined : upstreams.find(endpointId);
    if (endpoint !== undefined && !this.#enter(endpoint)) {
      this.#exchange.refuse(ENDPOINT_BUSY);
      return;
    }
    if (this.#startOn(endpoint?.select(this.#failed), head)) return;
    const draining = endpoint?.selectDraining(this.#failed);
    const node = lastNode
      ? undefined
      : cluster?.table.select(endpointId, this.#context.clock.now(), this.#failed, draining !== undefined);
    if (node !== undefined && this.#startHop(node, head)) return;
    if (this.#startOn(draining, head)) return;
    if ((endpoint ?? upstreams.find(endpointId))?.isFull(this.#failed)) {
      upstreamMetrics.limits.hit("max_streams_per_tunnel");
      this.#exchange.refuse(UPSTREAMS_BUSY);
      return;
    }
    if (this.target.byHost && this.#changeCase()) {
      this.connect(head);
      return;
    }
    if (fromNode) {
      // The node that sent it knows more: the endpoint may be on another one by now.
      this.#exchange.reply(502, "no available upstreams", REROUTE_FIELD);
      return;
    }
    this.#wait();
  }

  /**
   * Another upstream gets the request if the first can't have acted on it, or if acting twice does no harm. (All of it is
   * still at hand.)
   */
  again(seen: Seen): boolean {
    if (seen !== "no" && !isIdempotent(this.target.method)) return false;
    this.#failed = seen === "stale" ? undefined : this.#upstream;
    if (this.#triesLeft > 0) this.connect(undefined);
    // Those that were tried may be back in a moment.
    else if (this.#failed instanceof RemoteNode) this.#wait();
    else return false;
    return true;
  }

  onUpstream(): void {
    this.#waiting = false;
    this.#waitUntilMs = 0;
    this.#failed = undefined;
    this.connect(undefined);
  }

  sweep(nowMs: number): void {
    if (!this.#waiting) return;
    if (nowMs >= this.#waitUntilMs) {
      this.#stopWaiting();
      this.#exchange.reply(502, "no available upstreams");
    } else if (this.#isNodeBack(nowMs)) {
      this.#stopWaiting();
      this.#triesLeft = Math.max(this.#triesLeft, 1);
      this.connect(undefined);
    }
  }

  clear(): void {
    if (this.#waiting) this.#stopWaiting();
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

  /** Joins the client of a TCP dial to a tunnel of this node, if there is one, or refuses it. */
  #joinTunnel(head: RequestHead | undefined): boolean {
    const request = head ?? this.#exchange.heldHead();
    return openTcpTunnel(this.#exchange, this.#client, request, this.target.endpointId, this.#context);
  }

  /** Sends the request to a tunnel, if there is one and it takes it. */
  #startOn(tunnel: Tunnel | undefined, head: RequestHead | undefined): boolean {
    const tenant = tunnel?.tenant;
    if (tenant !== undefined && !this.#enterTenant(tenant)) return true;
    const call = this.#tunnelCall;
    const stream = tunnel?.openStream(call);
    if (tunnel === undefined || stream === undefined) return false;
    this.#context.upstreamMetrics.requests++;
    call.open(stream, tunnel.drainable);
    this.#start(tunnel, call, head);
    return true;
  }

  /** Counts the request as one of the tenant's, once; answers it if there are too many. */
  #enterTenant(tenant: TenantUse): boolean {
    if (tenant === this.#tenant) return true;
    this.#tenant = tenant;
    const limit = tenant.enter(this.target.endpointId);
    if (limit !== undefined) this.#exchange.refuse(rateRefusal(limit));
    return limit === undefined;
  }

  #startHop(node: RemoteNode, head: RequestHead | undefined): boolean {
    const pool = this.#context.hops?.poolFor(node);
    if (pool === undefined) return false;
    const call = (this.#hopCall ??= new HopCall(this.#exchange, this.#context.responses));
    call.open(pool);
    this.#start(node, call, head);
    return true;
  }

  #start(upstream: Tunnel | RemoteNode, call: UpstreamCall, head: RequestHead | undefined): void {
    if (this.#failed !== undefined) this.#context.upstreamMetrics.retries++;
    this.#triesLeft--;
    this.#upstream = upstream;
    this.#exchange.start(call, head);
  }

  /** There is no upstream now: the request waits for one that has just gone, or is told so. */
  #wait(): void {
    const { clock, upstreams } = this.#context;
    const { waits } = upstreams;
    const { endpointId } = this.target;
    const failed = this.#failed;
    // The node or agent that was to have the endpoint hasn't, or is gone: the endpoint may turn up elsewhere in a moment.
    if (failed instanceof RemoteNode || failed?.usable === false) waits.onLost(endpointId);
    const until = waits.wait(endpointId, this);
    if (until === WAITS_FULL) this.#exchange.refuse(TOO_MANY_WAITING);
    else if (until !== undefined) {
      this.#waiting = true;
      if (this.#waitUntilMs === 0) this.#waitUntilMs = until;
      // It is tried again when its time out is over. One that answers, but has no upstream, has to say that it has one.
      if (failed instanceof RemoteNode && failed.ejectedUntilMs > clock.now()) this.#failed = undefined;
    } else {
      const message = failed === undefined ? "no available upstreams" : "upstream unreachable";
      this.#exchange.reply(502, message);
    }
  }

  /** A node that requests failed to reach may be well again: its time out is over, or another request got through. */
  #isNodeBack(nowMs: number): boolean {
    const { endpointId, lastNode } = this.target;
    return !lastNode && this.#context.cluster?.table.isBack(endpointId, nowMs, this.#failed) === true;
  }

  /**
   * The endpoint that a request is served for whose host names this one. Host names have no case (RFC 9110 section 4.2.3),
   * endpoint ids do: where there is no endpoint as the host spells it, the one in lower case is meant. `identity`: who asks;
   * where there is neither, the one that they may call is meant.
   */
  servedId(endpointId: string, identity: Identity | undefined): string {
    const lower = endpointId.toLowerCase();
    if (lower === endpointId || this.#isKnown(endpointId)) return endpointId;
    const meant = this.#isKnown(lower) || identity?.permits(endpointId) === false;
    return meant ? lower : endpointId;
  }

  /** The endpoint is there in lower case only. Who may call the one as it is spelled need not be one who may call that. */
  #changeCase(): boolean {
    const { target } = this;
    target.byHost = false;
    const served = this.servedId(target.endpointId, undefined);
    if (served === target.endpointId || target.identity?.permits(served) === false) return false;
    target.endpointId = served;
    return true;
  }

  /** Something listens on the endpoint, here or elsewhere, or did a moment ago. */
  #isKnown(endpointId: string): boolean {
    const { cluster, upstreams } = this.#context;
    if (upstreams.find(endpointId) !== undefined || upstreams.waits.remembers(endpointId)) return true;
    return cluster?.table.hasEndpoint(endpointId) === true;
  }

  #stopWaiting(): void {
    this.#waiting = false;
    this.#context.upstreams.waits.cancel(this.target.endpointId, this);
  }
}
