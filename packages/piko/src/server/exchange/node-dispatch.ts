// Finds an upstream for a request on a node: a tunnel of this node, or else another node. Tries another one if a call is lost
// before its response, and waits for an endpoint whose last upstream has just disconnected.

import type { Exchange } from "../../http/exchange/exchange.js";
import { type Dispatch, isIdempotent } from "../../http/exchange/dispatch.js";
import type { Seen, UpstreamCall } from "../../http/exchange/upstream-call.js";
import type { RequestHead } from "../../http/head.js";
import { REASONS } from "../../http/reasons.js";
import type { NodeClient } from "./node-client.js";
import { type DispatchTarget, EMPTY_TARGET } from "./dispatch-target.js";
import type { ProxyContext } from "./proxy-context.js";
import {
  ENDPOINT_BUSY,
  TOO_MANY_FILES,
  TOO_MANY_WAITING,
  UPSTREAMS_BUSY,
  rateRefusal,
} from "./proxy-limits.js";
import { servedEndpointId } from "./served-endpoint.js";
import { openTcpTunnel } from "./tcp-tunnel.js";
import {
  NODE_DOUBTFUL,
  NODE_DRAINING,
  NODE_HEALTHY,
  type NodeRank,
  RemoteNode,
} from "../cluster/cluster-table.js";
import type { EndpointTunnels } from "../upstream/endpoint-tunnels.js";
import { ELSEWHERE_FIELD, REROUTE_FIELD } from "../upstream/hop/forwarded.js";
import { HopCall } from "../upstream/hop/hop-call.js";
import { TunnelCall } from "../upstream/tunnel-call.js";
import type { WaitResult } from "../upstream/upstream-metrics.js";
import type { TenantUse } from "../upstream/tenant-use.js";
import type { Tunnel } from "../upstream/tunnel.js";
import { WAITS_FULL, type Waiter } from "../upstream/reconnect-waits.js";

/** Maximum tries of one request on upstreams that may have acted on it, or could not be reached. */
const MAX_TRIES = 3;
/** Maximum further tries on upstreams that can't have acted on it, because they refused it or sent it back. */
const MAX_UNSEEN_TRIES = 6;
/** How long a tunnel must be doubtful before requests that its agent hasn't accepted move to another upstream. */
const MOVE_AFTER_MS = 2_000;

export class NodeDispatch implements Dispatch, Waiter {
  readonly target: DispatchTarget;
  readonly #exchange: Exchange;
  readonly #client: NodeClient;
  readonly #context: ProxyContext;
  readonly #tunnelCall: TunnelCall;
  /** Created for the first hop. */
  #hopCall: HopCall | undefined;
  #triesLeft: number;
  #unseenTriesLeft: number;
  /** The upstream that has just failed the request; it isn't chosen for the next try. */
  #failed: Tunnel | RemoteNode | undefined;
  /** Whether the last upstream can't have seen the request. */
  #refused: boolean;
  /** Whether a node could not be reached; it is tried again when it is no longer left out. */
  #wasUnreachable: boolean;
  /** The last node without an upstream for it; not tried again until a node announces the endpoint. */
  #emptyNode: RemoteNode | undefined;
  /** The node that has tunnels, but sent the request back because it knew of better ones. */
  #sentBackBy: RemoteNode | undefined;
  #upstream: Tunnel | RemoteNode | undefined;
  /** The endpoint that counts the request as in progress. */
  #endpoint: EndpointTunnels | undefined;
  /** The tenant that has counted the request. */
  #tenant: TenantUse | undefined;
  #waiting: boolean;
  /** Deadline for all waits of the request for an upstream; 0 if it hasn't waited yet. */
  #waitUntilMs: number;

  constructor(exchange: Exchange, client: NodeClient, context: ProxyContext) {
    this.target = { ...EMPTY_TARGET };
    this.#exchange = exchange;
    this.#client = client;
    this.#context = context;
    this.#tunnelCall = new TunnelCall(exchange, context.responses);
    this.#hopCall = undefined;
    this.#triesLeft = 0;
    this.#unseenTriesLeft = 0;
    this.#failed = undefined;
    this.#refused = false;
    this.#wasUnreachable = false;
    this.#emptyNode = undefined;
    this.#sentBackBy = undefined;
    this.#upstream = undefined;
    this.#endpoint = undefined;
    this.#tenant = undefined;
    this.#waiting = false;
    this.#waitUntilMs = 0;
  }

  get waiting(): boolean {
    return this.#waiting;
  }

  /** Begins a request; `target` is already set. */
  begin(): void {
    this.#triesLeft = MAX_TRIES;
    this.#tenant = undefined;
    this.#unseenTriesLeft = MAX_UNSEEN_TRIES;
    this.#failed = undefined;
    this.#refused = false;
    this.#wasUnreachable = false;
    this.#emptyNode = undefined;
    this.#sentBackBy = undefined;
    this.#waitUntilMs = 0;
  }

  connect(head: RequestHead | undefined): void {
    const { upstreamMetrics, upstreams } = this.#context;
    const { endpointId, fromNode, nodesOnly, reroutable } = this.target;
    if (nodesOnly && this.#joinTunnel(head)) return;
    const endpoint = nodesOnly ? undefined : upstreams.find(endpointId);
    if (endpoint !== undefined && !this.#enter(endpoint)) {
      if (!this.#sendBack()) this.#exchange.refuse(ENDPOINT_BUSY);
      return;
    }
    if (this.#startOn(endpoint?.select(this.#failed), head) || this.#startOnNext(endpoint, head)) return;
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
      // The node that sent it chooses another one. A Go node doesn't, so its request makes a second hop.
      const table = reroutable ? undefined : this.#context.cluster?.table;
      const node = table?.select(endpointId, this.#context.clock.now(), this.#failed);
      if (!this.#startHop(node, head)) this.#noUpstream(REROUTE_FIELD);
      return;
    }
    this.#wait();
  }

  /**
   * Retries the request on another upstream if the first can't have acted on it, or if it is safe to retry. (Called only while
   * all of it is still buffered.)
   */
  retry(seen: Seen): boolean {
    if (seen !== "no" && !isIdempotent(this.target.method)) return false;
    const upstream = this.#upstream;
    this.#failed = seen === "stale" ? undefined : upstream;
    this.#refused = seen === "no";
    if (upstream instanceof RemoteNode && this.#hopCall?.rerouted === "elsewhere")
      this.#sentBackBy = upstream;
    // A try on a node that couldn't be reached is counted: more tries don't help.
    const wasUnreachable = upstream instanceof RemoteNode && this.#isLeftOut(upstream);
    this.#wasUnreachable ||= wasUnreachable;
    if (seen === "no" && !wasUnreachable && upstream instanceof RemoteNode) this.#emptyNode = upstream;
    if (seen === "no" && !wasUnreachable && this.#unseenTriesLeft > 0) {
      this.#unseenTriesLeft--;
      this.#triesLeft++;
    }
    if (this.#triesLeft > 0) this.connect(undefined);
    // The upstreams that were tried may be back in a moment.
    else if (this.#refused || this.#failed instanceof RemoteNode) this.#wait();
    else return false;
    return true;
  }

  onUpstream(): void {
    this.#waiting = false;
    this.#context.upstreamMetrics.waited.found++;
    this.#waitUntilMs = 0;
    this.#failed = undefined;
    this.#emptyNode = undefined;
    this.connect(undefined);
  }

  /** The timeout has expired: moves the request, even if a silent agent has accepted it, rather than answer 504. */
  continueAfterTimeout(nowMs: number): boolean {
    return this.#moveIfSilent(nowMs, true);
  }

  sweep(nowMs: number): void {
    if (!this.#waiting) this.#moveIfSilent(nowMs, false);
    else if (nowMs >= this.#waitUntilMs) {
      this.#stopWaiting("expired");
      this.#noUpstream();
    } else if (this.#isNodeBack(nowMs) || this.#isTunnelBack()) {
      this.#stopWaiting("found");
      // An agent may be retried at once: it doesn't announce that it accepts requests again.
      if (!(this.#failed instanceof RemoteNode)) this.#failed = undefined;
      this.#triesLeft = Math.max(this.#triesLeft, 1);
      this.connect(undefined);
    }
  }

  clear(): void {
    if (this.#waiting) this.#stopWaiting("left");
    this.#upstream = undefined;
    this.#failed = undefined;
    this.#emptyNode = undefined;
    this.#sentBackBy = undefined;
    if (this.#endpoint !== undefined) this.#endpoint.requests--;
    this.#endpoint = undefined;
  }

  /** Counts the request as in progress at the endpoint; false if there are too many. */
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

  /** Sends the request to the best upstream if this node has no healthy tunnel. */
  #startOnNext(endpoint: EndpointTunnels | undefined, head: RequestHead | undefined): boolean {
    const { endpointId, lastNode } = this.target;
    const table = lastNode ? undefined : this.#context.cluster?.table;
    const nowMs = this.#context.clock.now();
    const node = table?.select(endpointId, nowMs, this.#failed);
    const rank = node === undefined ? undefined : table?.rankOf(node, endpointId, nowMs);
    if (rank === NODE_HEALTHY && this.#startHop(node, head)) return true;
    if (this.#startOn(endpoint?.selectDraining(this.#failed), head)) return true;
    if (rank === NODE_DRAINING && this.#startHop(node, head)) return true;
    if (this.#sendBack() || this.#startOn(endpoint?.selectDoubtful(this.#failed), head)) return true;
    if (rank === NODE_DOUBTFUL && this.#startHop(node, head)) return true;
    // There is no better node than the one that sent it back: it must serve the request.
    const fallback = this.#sentBackBy;
    this.#sentBackBy = undefined;
    return this.#startHop(fallback, head, false) || this.#startHop(node, head);
  }

  /** Sends a request of another node back if a further node has better tunnels; that node then chooses again. */
  #sendBack(): boolean {
    const { endpointId, reroutable } = this.target;
    if (!reroutable || this.#context.upstreams.find(endpointId) === undefined) return false;
    if (!this.#hasNode(this.#context.clock.now(), NODE_HEALTHY, undefined)) return false;
    const { rerouted } = REASONS;
    this.#exchange.reply(rerouted, 502, rerouted.message, ELSEWHERE_FIELD);
    return true;
  }

  /** Sends the request to a tunnel, if there is one and it opens a stream; true if the request has been handled. */
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

  /** Counts the request once against the tenant's rate; refuses it if the rate is exceeded. */
  #enterTenant(tenant: TenantUse): boolean {
    if (tenant === this.#tenant) return true;
    this.#tenant = tenant;
    const limit = tenant.enter(this.target.endpointId);
    if (limit !== undefined) this.#exchange.refuse(rateRefusal(limit));
    return limit === undefined;
  }

  /** `mayReroute`: whether the node may send the request back if it knows a better one. */
  #startHop(node: RemoteNode | undefined, head: RequestHead | undefined, mayReroute = true): boolean {
    const { hops } = this.#context;
    if (node === undefined || hops === undefined) return false;
    const call = (this.#hopCall ??= new HopCall(this.#exchange, this.#context.responses));
    call.open(hops.poolFor(node), mayReroute);
    if (call.needsConnection(this.target.method) && this.#context.files.wouldBeExhausted()) {
      this.#exchange.refuse(TOO_MANY_FILES);
    } else this.#start(node, call, head);
    return true;
  }

  #start(upstream: Tunnel | RemoteNode, call: UpstreamCall, head: RequestHead | undefined): void {
    if (this.#failed !== undefined) this.#context.upstreamMetrics.retries++;
    this.#triesLeft--;
    this.#upstream = upstream;
    this.#exchange.record.servedBy = upstream.servedBy;
    this.#exchange.start(call, head);
  }

  /**
   * Moves a request that its silent upstream leaves unanswered, if there is a better upstream. A request that an agent has
   * accepted stays there until it is `overdue`. A request that an agent or node may have seen moves only if it is safe to retry.
   */
  #moveIfSilent(nowMs: number, overdue: boolean): boolean {
    const upstream = this.#upstream;
    if (upstream === undefined || !this.#exchange.repeatable) return false;
    if (!isSilent(upstream, nowMs) && !(overdue && this.#isDoubtful(upstream, nowMs))) return false;
    const call = upstream instanceof RemoteNode ? this.#hopCall : this.#tunnelCall;
    if (call === undefined || call.begun) return false;
    const { seen } = call;
    const stays = seen === "answered" && !overdue;
    const mayMove = seen === "no" || (!stays && this.#triesLeft > 0 && isIdempotent(this.target.method));
    if (!mayMove || !this.#hasBetter(nowMs, upstream)) return false;
    call.giveUp();
    return true;
  }

  /** Whether the tunnel's agent is silent, or all agents that the node has for the endpoint. */
  #isDoubtful(upstream: Tunnel | RemoteNode, nowMs: number): boolean {
    if (!(upstream instanceof RemoteNode)) return upstream.doubtful;
    const rank = this.#context.cluster?.table.rankOf(upstream, this.target.endpointId, nowMs);
    return rank !== undefined && rank >= NODE_DOUBTFUL;
  }

  /** Whether there is another upstream that isn't silent and hasn't just failed. */
  #hasBetter(nowMs: number, except: Tunnel | RemoteNode): boolean {
    const { endpointId, lastNode, nodesOnly, reroutable } = this.target;
    if (!nodesOnly && this.#context.upstreams.find(endpointId)?.hasFree(except) === true) return true;
    return lastNode
      ? reroutable && this.#hasNode(nowMs, NODE_HEALTHY, undefined)
      : this.#hasNode(nowMs, NODE_DRAINING, except);
  }

  #hasNode(nowMs: number, worst: NodeRank, except: unknown): boolean {
    const table = this.#context.cluster?.table;
    return table?.select(this.target.endpointId, nowMs, except, worst) !== undefined;
  }

  /** There is no upstream now: the request waits if one has just disconnected, or else gets an error. */
  #wait(): void {
    const { waits } = this.#context.upstreams;
    const { endpointId } = this.target;
    const failed = this.#failed;
    // The last upstream doesn't have the endpoint, is gone or refuses requests; that may change in a moment.
    if (failed instanceof RemoteNode || failed?.usable === false || this.#refused) waits.onLost(endpointId);
    const until = waits.wait(endpointId, this);
    if (until === WAITS_FULL) this.#exchange.refuse(TOO_MANY_WAITING);
    else if (until !== undefined) {
      this.#waiting = true;
      if (this.#waitUntilMs === 0) this.#waitUntilMs = until;
      // An unreachable node is retried once it isn't left out; one without an upstream, once it announces the endpoint.
      if (failed instanceof RemoteNode && this.#isLeftOut(failed)) this.#failed = this.#emptyNode;
    } else if (failed === undefined) this.#noUpstream();
    else {
      const { connect_failed } = REASONS;
      this.#exchange.reply(this.#exchange.lost ?? connect_failed, 502, connect_failed.message);
    }
  }

  #noUpstream(fields?: string): void {
    const { no_upstream, rerouted } = REASONS;
    const { lost = rerouted } = this.#exchange;
    // If there was an upstream, its loss is the better reason.
    this.#exchange.reply(lost === rerouted ? no_upstream : lost, 502, no_upstream.message, fields);
  }

  /** Whether a node that couldn't be reached may work again: it is no longer left out, or another request got through. */
  #isNodeBack(nowMs: number): boolean {
    const { endpointId, lastNode } = this.target;
    return (
      this.#wasUnreachable &&
      !lastNode &&
      this.#context.cluster?.table.isBack(endpointId, nowMs, this.#failed) === true
    );
  }

  /** Whether there is a tunnel again, possibly of the agent that refused the request. */
  #isTunnelBack(): boolean {
    const { endpointId, nodesOnly } = this.target;
    return !nodesOnly && this.#context.upstreams.find(endpointId)?.hasFree(undefined) === true;
  }

  /** Whether requests to the node have just failed. */
  #isLeftOut(node: RemoteNode): boolean {
    return node.ejectedUntilMs > this.#context.clock.now();
  }

  /** Switches to the endpoint in lower case if only that exists. It needs its own permission. */
  #changeCase(): boolean {
    const { target } = this;
    target.byHost = false;
    const served = servedEndpointId(target.endpointId, undefined, this.#context);
    if (served === target.endpointId || target.identity?.permits(served) === false) return false;
    target.endpointId = served;
    this.#exchange.record.endpointId = served;
    return true;
  }

  #stopWaiting(result: WaitResult): void {
    this.#waiting = false;
    this.#context.upstreamMetrics.waited[result]++;
    this.#context.upstreams.waits.cancel(this.target.endpointId, this);
  }
}

/** Whether an agent has left streams unaccepted for some time, or a node is silent, although its connection is open. */
function isSilent(upstream: Tunnel | RemoteNode, nowMs: number): boolean {
  if (upstream instanceof RemoteNode) return upstream.status === "unreachable";
  return upstream.doubtful && nowMs - upstream.doubtSinceMs >= MOVE_AFTER_MS;
}
