// Finds an upstream for a request on a node: a tunnel of this node, else another node. Tries another one when a call is
// lost before its response, and waits for an endpoint whose last upstream has just disconnected.

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
  NODE_DRAINS,
  NODE_WELL,
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

/** Upstreams that one request is sent to, at most: those that may have acted on it, or could not be reached. */
const MAX_TRIES = 3;
/** Further ones that can't have seen it: they have refused it, or sent it back. */
const MAX_UNSEEN_TRIES = 6;
/** So long a tunnel has to be doubtful before the requests that its agent has not accepted go elsewhere. */
const MOVE_AFTER_MS = 2_000;

export class NodeDispatch implements Dispatch, Waiter {
  readonly target: DispatchTarget;
  readonly #exchange: Exchange;
  readonly #client: NodeClient;
  readonly #context: ProxyContext;
  readonly #tunnelCall: TunnelCall;
  /** Where there is a cluster, from the first hop on. */
  #hopCall: HopCall | undefined;
  #triesLeft: number;
  #unseenTriesLeft: number;
  /** The upstream that has just failed the request; it isn't asked again at once. */
  #failed: Tunnel | RemoteNode | undefined;
  /** That one can't have seen it. */
  #refused: boolean;
  /** A node could not be reached: it is tried again when its time out is over. */
  #unreached: boolean;
  /** The node that has sent it back last: it isn't asked again before it has news. */
  #goneFrom: RemoteNode | undefined;
  /** The node that has tunnels, and has sent the request back because it knew of better ones. */
  #sentBackBy: RemoteNode | undefined;
  #upstream: Tunnel | RemoteNode | undefined;
  /** Where the request is counted as one in flight. */
  #endpoint: EndpointTunnels | undefined;
  /** Where it is counted as one of a tenant's. */
  #tenant: TenantUse | undefined;
  #waiting: boolean;
  /** Until when it may wait for an upstream to return, however often it tries; 0: it has not waited yet. */
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
    this.#unreached = false;
    this.#goneFrom = undefined;
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

  /** A request begins; `target` says where it is to go. */
  begin(): void {
    this.#triesLeft = MAX_TRIES;
    this.#tenant = undefined;
    this.#unseenTriesLeft = MAX_UNSEEN_TRIES;
    this.#failed = undefined;
    this.#refused = false;
    this.#unreached = false;
    this.#goneFrom = undefined;
    this.#sentBackBy = undefined;
    this.#waitUntilMs = 0;
  }

  connect(head: RequestHead | undefined): void {
    const { upstreamMetrics, upstreams } = this.#context;
    const { endpointId, fromNode, nodesOnly, takenBack } = this.target;
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
      // The node that sent it knows more, and asks another one. A Go node doesn't: its request makes a second hop.
      const table = takenBack ? undefined : this.#context.cluster?.table;
      const node = table?.select(endpointId, this.#context.clock.now(), this.#failed);
      if (!this.#startHop(node, head)) this.#noUpstream(REROUTE_FIELD);
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
    const upstream = this.#upstream;
    this.#failed = seen === "stale" ? undefined : upstream;
    this.#refused = seen === "no";
    if (upstream instanceof RemoteNode && this.#hopCall?.rerouted === "elsewhere")
      this.#sentBackBy = upstream;
    // A node that couldn't be reached is no sooner reached for being tried more often.
    const unreached = upstream instanceof RemoteNode && this.#isLeftOut(upstream);
    this.#unreached ||= unreached;
    if (seen === "no" && !unreached && upstream instanceof RemoteNode) this.#goneFrom = upstream;
    if (seen === "no" && !unreached && this.#unseenTriesLeft > 0) {
      this.#unseenTriesLeft--;
      this.#triesLeft++;
    }
    if (this.#triesLeft > 0) this.connect(undefined);
    // Those that were tried may be back in a moment.
    else if (this.#refused || this.#failed instanceof RemoteNode) this.#wait();
    else return false;
    return true;
  }

  onUpstream(): void {
    this.#waiting = false;
    this.#context.upstreamMetrics.waited.found++;
    this.#waitUntilMs = 0;
    this.#failed = undefined;
    this.#goneFrom = undefined;
    this.connect(undefined);
  }

  /** What a silent agent has accepted, too, goes elsewhere if it may: the other end of its patience would be a 504. */
  outlast(nowMs: number): boolean {
    return this.#leaveSilence(nowMs, true);
  }

  sweep(nowMs: number): void {
    if (!this.#waiting) this.#leaveSilence(nowMs, false);
    else if (nowMs >= this.#waitUntilMs) {
      this.#stopWaiting("expired");
      this.#noUpstream();
    } else if (this.#isNodeBack(nowMs) || this.#isTunnelBack()) {
      this.#stopWaiting("found");
      // Nobody else would say that an agent takes requests again.
      if (!(this.#failed instanceof RemoteNode)) this.#failed = undefined;
      this.#triesLeft = Math.max(this.#triesLeft, 1);
      this.connect(undefined);
    }
  }

  clear(): void {
    if (this.#waiting) this.#stopWaiting("left");
    this.#upstream = undefined;
    this.#failed = undefined;
    this.#goneFrom = undefined;
    this.#sentBackBy = undefined;
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

  /** Sends the request to the best upstream there is when no tunnel of this node is well. */
  #startOnNext(endpoint: EndpointTunnels | undefined, head: RequestHead | undefined): boolean {
    const { endpointId, lastNode } = this.target;
    const table = lastNode ? undefined : this.#context.cluster?.table;
    const nowMs = this.#context.clock.now();
    const node = table?.select(endpointId, nowMs, this.#failed);
    const rank = node === undefined ? undefined : table?.rankOf(node, endpointId, nowMs);
    if (rank === NODE_WELL && this.#startHop(node, head)) return true;
    if (this.#startOn(endpoint?.selectDraining(this.#failed), head)) return true;
    if (rank === NODE_DRAINS && this.#startHop(node, head)) return true;
    if (this.#sendBack() || this.#startOn(endpoint?.selectDoubtful(this.#failed), head)) return true;
    if (rank === NODE_DOUBTFUL && this.#startHop(node, head)) return true;
    // What it knew of isn't there: it has to do what it can.
    const insisted = this.#sentBackBy;
    this.#sentBackBy = undefined;
    return this.#startHop(insisted, head, false) || this.#startHop(node, head);
  }

  /** A request of another node goes back to it if a further node has better tunnels, and it will look for that one. */
  #sendBack(): boolean {
    const { endpointId, takenBack } = this.target;
    if (!takenBack || this.#context.upstreams.find(endpointId) === undefined) return false;
    if (!this.#hasNode(this.#context.clock.now(), NODE_WELL, undefined)) return false;
    const { rerouted } = REASONS;
    this.#exchange.reply(rerouted, 502, rerouted.message, ELSEWHERE_FIELD);
    return true;
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

  /** `takesBack`: the node may send it back if it knows of a better one. */
  #startHop(node: RemoteNode | undefined, head: RequestHead | undefined, takesBack = true): boolean {
    const { hops } = this.#context;
    if (node === undefined || hops === undefined) return false;
    const call = (this.#hopCall ??= new HopCall(this.#exchange, this.#context.responses));
    call.open(hops.poolFor(node), takesBack);
    if (call.needsConnection(this.target.method) && this.#context.files.wouldBeOut()) {
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
   * A request that its upstream leaves unanswered goes elsewhere, if there is a better place for it. What an agent has
   * accepted stays with it until its time is over; what it or a node may have seen goes only if acting twice does no harm.
   */
  #leaveSilence(nowMs: number, overdue: boolean): boolean {
    const upstream = this.#upstream;
    if (upstream === undefined || !this.#exchange.repeatable) return false;
    if (!isSilent(upstream, nowMs) && !(overdue && this.#isDoubtful(upstream, nowMs))) return false;
    const call = upstream instanceof RemoteNode ? this.#hopCall : this.#tunnelCall;
    if (call === undefined || call.begun) return false;
    const { seen } = call;
    const stays = seen === "answered" && !overdue;
    const mayGo = seen === "no" || (!stays && this.#triesLeft > 0 && isIdempotent(this.target.method));
    if (!mayGo || !this.#hasBetter(nowMs, upstream)) return false;
    call.giveUp();
    return true;
  }

  /** Its agent is silent, or all agents that a node has for the endpoint. */
  #isDoubtful(upstream: Tunnel | RemoteNode, nowMs: number): boolean {
    if (!(upstream instanceof RemoteNode)) return upstream.doubtful;
    const rank = this.#context.cluster?.table.rankOf(upstream, this.target.endpointId, nowMs);
    return rank !== undefined && rank >= NODE_DOUBTFUL;
  }

  /** There is an upstream that neither is silent nor has just failed. */
  #hasBetter(nowMs: number, except: Tunnel | RemoteNode): boolean {
    const { endpointId, lastNode, nodesOnly, takenBack } = this.target;
    if (!nodesOnly && this.#context.upstreams.find(endpointId)?.hasFree(except) === true) return true;
    return lastNode
      ? takenBack && this.#hasNode(nowMs, NODE_WELL, undefined)
      : this.#hasNode(nowMs, NODE_DRAINS, except);
  }

  #hasNode(nowMs: number, worst: NodeRank, except: unknown): boolean {
    const table = this.#context.cluster?.table;
    return table?.select(this.target.endpointId, nowMs, except, worst) !== undefined;
  }

  /** There is no upstream now: the request waits for one that has just disconnected, or gets an error. */
  #wait(): void {
    const { waits } = this.#context.upstreams;
    const { endpointId } = this.target;
    const failed = this.#failed;
    // The node or agent that was to have the endpoint hasn't, is gone or takes nothing now: that may be over in a moment.
    if (failed instanceof RemoteNode || failed?.usable === false || this.#refused) waits.onLost(endpointId);
    const until = waits.wait(endpointId, this);
    if (until === WAITS_FULL) this.#exchange.refuse(TOO_MANY_WAITING);
    else if (until !== undefined) {
      this.#waiting = true;
      if (this.#waitUntilMs === 0) this.#waitUntilMs = until;
      // It is tried again when its time out is over. One that answers, but has no upstream, has to say that it has one.
      if (failed instanceof RemoteNode && this.#isLeftOut(failed)) this.#failed = this.#goneFrom;
    } else if (failed === undefined) this.#noUpstream();
    else {
      const { connect_failed } = REASONS;
      this.#exchange.reply(this.#exchange.lost ?? connect_failed, 502, connect_failed.message);
    }
  }

  #noUpstream(fields?: string): void {
    const { no_upstream, rerouted } = REASONS;
    const { lost = rerouted } = this.#exchange;
    // Where there was one, it says more that it was lost.
    this.#exchange.reply(lost === rerouted ? no_upstream : lost, 502, no_upstream.message, fields);
  }

  /** A node that requests failed to reach may be well again: its time out is over, or another request got through. */
  #isNodeBack(nowMs: number): boolean {
    const { endpointId, lastNode } = this.target;
    return (
      this.#unreached &&
      !lastNode &&
      this.#context.cluster?.table.isBack(endpointId, nowMs, this.#failed) === true
    );
  }

  /** An agent that has refused the request may take it by now. */
  #isTunnelBack(): boolean {
    const { endpointId, nodesOnly } = this.target;
    return !nodesOnly && this.#context.upstreams.find(endpointId)?.hasFree(undefined) === true;
  }

  /** Requests to the node have just failed. */
  #isLeftOut(node: RemoteNode): boolean {
    return node.ejectedUntilMs > this.#context.clock.now();
  }

  /** The endpoint exists in lower case only. A permission for the spelled id doesn't imply one for that. */
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

/** An agent has left streams unaccepted for some time, or a node is silent, though their connections are open. */
function isSilent(upstream: Tunnel | RemoteNode, nowMs: number): boolean {
  if (upstream instanceof RemoteNode) return upstream.status === "unreachable";
  return upstream.doubtful && nowMs - upstream.doubtSinceMs >= MOVE_AFTER_MS;
}
