// The other nodes of the cluster and the endpoints that they have listeners for, indexed for choosing a node: the cost of
// a request doesn't depend on the number of nodes and endpoints.

import { ServedBy } from "../../observability/served-by.js";

/** active: takes requests. The others are shown, and not chosen. */
export type NodeStatus = "active" | "unreachable" | "left";

/** The two addresses of a node, by their names in the table. */
export type AddressKind = "proxyAddr" | "adminAddr";

/** What a node of ours says of itself. */
export interface NodeAbout {
  readonly version: string;
  /** Milliseconds since 1970, by its own clock. */
  readonly startedMs: number;
}

/** What the table knows of a node, this one included. */
export interface NodeSummary {
  readonly id: string;
  readonly status: NodeStatus;
  readonly proxyAddr: string;
  readonly adminAddr: string;
  /** Listeners by endpoint. */
  readonly endpoints: ReadonlyMap<string, number>;
  /** Undefined for Go nodes. */
  readonly about: NodeAbout | undefined;
}

/** Another node. Its addresses are what it said first, for as long as it doesn't take that back. */
export class RemoteNode implements NodeSummary {
  readonly id: string;
  /** The node that serves forwarded requests, for the access log. */
  readonly servedBy: ServedBy;
  readonly endpoints: Map<string, number> = new Map();
  /** Of these, the ones whose listeners are all doubtful there, with their number as announced together with the doubt. */
  readonly doubtful: Map<string, number> = new Map();
  /** Of these, the ones that are announced with their doubt alone, so that Go nodes don't know of them. */
  readonly withdrawn: Set<string> = new Set();
  about: NodeAbout | undefined = undefined;
  status: NodeStatus = "active";
  proxyAddr = "";
  adminAddr = "";
  /** Known to nodes alone; undefined where gossip isn't closed to others. */
  hopSecret: Buffer | undefined = undefined;
  /** It stops: it still takes requests, but others are asked first. */
  draining = false;
  /** Which of its ports take TLS; undefined if it hasn't said, as Go nodes don't. */
  tlsPorts: ReadonlySet<string> | undefined = undefined;
  /** Not chosen before this time while there is another: requests to it have just failed. */
  ejectedUntilMs = 0;
  /** Failures since the last success. */
  failures = 0;

  constructor(id: string) {
    this.id = id;
    this.servedBy = new ServedBy({ hop: id });
  }

  /** Both addresses are known; until then a node is neither chosen nor shown. */
  get complete(): boolean {
    return this.proxyAddr !== "" && this.adminAddr !== "";
  }
}

/** In which order nodes are asked for an endpoint. */
export type NodeRank = 0 | 1 | 2 | 3;
export const NODE_WELL: NodeRank = 0;
/** It stops. */
export const NODE_DRAINS: NodeRank = 1;
/** Its agents leave streams unanswered. */
export const NODE_DOUBTFUL: NodeRank = 2;
/** It could not be reached a moment ago, or is silent itself. */
export const NODE_FAILED: NodeRank = 3;

/** First time that a node is left out after a failure; doubles with each further one. */
const EJECT_MS = 500;
const MAX_EJECT_MS = 10_000;

export class ClusterTable {
  readonly #nodes = new Map<string, RemoteNode>();
  /** Nodes by endpoint: only those that can be chosen. */
  readonly #byEndpoint = new Map<string, RemoteNode[]>();
  readonly #random: () => number;

  /** `random`: numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  get(id: string): RemoteNode | undefined {
    return this.#nodes.get(id);
  }

  /** Which of a node's ports take TLS. */
  setTlsPorts(id: string, ports: ReadonlySet<string> | undefined): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.tlsPorts = ports;
  }

  /** What a node says of itself. */
  setAbout(id: string, about: NodeAbout | undefined): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.about = about;
  }

  /** The nodes whose addresses are known. */
  *nodes(): IterableIterator<RemoteNode> {
    for (const node of this.#nodes.values()) if (node.complete) yield node;
  }

  join(id: string): void {
    if (!this.#nodes.has(id)) this.#nodes.set(id, new RemoteNode(id));
  }

  /** Forgets a node. */
  remove(id: string): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    this.#nodes.delete(id);
    this.#unindex(node);
  }

  setStatus(id: string, status: NodeStatus): void {
    const node = this.#nodes.get(id);
    // A node that has left doesn't return under the same id before it is forgotten.
    if (node === undefined || node.status === status || node.status === "left") return;
    node.status = status;
    this.#unindex(node);
    this.#index(node);
  }

  /** Addresses count once: later ones are ignored. True if the node's endpoints can be reached from now on. */
  setAddress(id: string, kind: AddressKind, address: string): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined || node[kind] !== "") return false;
    node[kind] = address;
    this.#index(node);
    return choosable(node);
  }

  /** The node has taken an address back: it begins a new life under its old id. */
  clearAddress(id: string, kind: AddressKind): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    this.#unindex(node);
    node[kind] = "";
  }

  /** Sets how many listeners a node has for an endpoint; 0 for none. True if the endpoint can be reached there now. */
  setListeners(id: string, endpointId: string, count: number): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined) return false;
    const doubtful = node.doubtful.get(endpointId) ?? 0;
    if (count > 0 || doubtful === 0) node.withdrawn.delete(endpointId);
    else node.withdrawn.add(endpointId);
    return this.#setCount(node, endpointId, count > 0 ? count : doubtful);
  }

  /**
   * A node has said that its listeners for an endpoint, so many of them, are all doubtful; 0: they no longer are. True if
   * the endpoint can be reached there now.
   */
  setDoubt(id: string, endpointId: string, count: number): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined) return false;
    if (count > 0) node.doubtful.set(endpointId, count);
    else node.doubtful.delete(endpointId);
    if (count > 0 && !node.endpoints.has(endpointId)) node.withdrawn.add(endpointId);
    if (node.withdrawn.has(endpointId)) {
      if (count <= 0) node.withdrawn.delete(endpointId);
      return this.#setCount(node, endpointId, count);
    }
    return choosable(node) && node.endpoints.has(endpointId);
  }

  #setCount(node: RemoteNode, endpointId: string, count: number): boolean {
    const had = node.endpoints.has(endpointId);
    if (count > 0) node.endpoints.set(endpointId, count);
    else node.endpoints.delete(endpointId);
    if (!choosable(node)) return false;
    if (count > 0 && !had) this.#add(endpointId, node);
    else if (count <= 0 && had) this.#drop(endpointId, node);
    return count > 0;
  }

  /** The node has said that it stops, or has taken that back. */
  setDraining(id: string, draining: boolean): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.draining = draining;
  }

  /** By which the node knows hops; undefined: it has taken that back. */
  setHopSecret(id: string, secret: Buffer | undefined): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.hopSecret = secret;
  }

  /** Some node that can be chosen has listeners for the endpoint. */
  hasEndpoint(endpointId: string): boolean {
    return this.#byEndpoint.has(endpointId);
  }

  /**
   * A node with listeners for the endpoint, at random in proportion to their number, but not `except`: of those with the
   * best rank that there is, if it is no worse than `worst`.
   */
  select(
    endpointId: string,
    nowMs: number,
    except: unknown,
    worst: NodeRank = NODE_FAILED,
  ): RemoteNode | undefined {
    const nodes = this.#byEndpoint.get(endpointId);
    if (nodes === undefined) return undefined;
    let rank = worst;
    let total = 0;
    for (const node of nodes) {
      const itsRank = this.rankOf(node, endpointId, nowMs);
      if (node === except || itsRank > rank) continue;
      if (itsRank < rank) total = 0;
      rank = itsRank;
      total += node.endpoints.get(endpointId) ?? 0;
    }
    let left = this.#random() * total;
    for (const node of nodes) {
      if (node === except || this.rankOf(node, endpointId, nowMs) !== rank) continue;
      left -= node.endpoints.get(endpointId) ?? 0;
      if (left < 0) return node;
    }
    return undefined;
  }

  /** How good a node is for an endpoint: lower ones are asked first. */
  rankOf(node: RemoteNode, endpointId: string, nowMs: number): NodeRank {
    if (node.ejectedUntilMs > nowMs) return NODE_FAILED;
    if (node.doubtful.size > 0 && node.doubtful.has(endpointId)) return NODE_DOUBTFUL;
    return node.draining ? NODE_DRAINS : NODE_WELL;
  }

  /** Some node with listeners for the endpoint, but not `except`, is in no time out: a request may find it well again. */
  isBack(endpointId: string, nowMs: number, except: unknown): boolean {
    const nodes = this.#byEndpoint.get(endpointId);
    return nodes?.some((node) => node !== except && node.ejectedUntilMs <= nowMs) === true;
  }

  /** A request got through to the node. */
  onSuccess(node: RemoteNode): void {
    node.failures = 0;
    node.ejectedUntilMs = 0;
  }

  /** Gossip waits for a sign of life of the node: until then others are asked before it. */
  onSuspect(node: RemoteNode, untilMs: number): void {
    node.ejectedUntilMs = Math.max(node.ejectedUntilMs, untilMs);
  }

  /**
   * The node could not be reached: others are asked before it for a while, whatever gossip says. What fails within that
   * while says nothing new: many requests that fail at once count as one.
   */
  onFailure(node: RemoteNode, nowMs: number): void {
    if (node.ejectedUntilMs > nowMs) return;
    node.ejectedUntilMs = nowMs + Math.min(MAX_EJECT_MS, EJECT_MS * 2 ** node.failures);
    node.failures = Math.min(node.failures + 1, 10);
  }

  #index(node: RemoteNode): void {
    if (!choosable(node)) return;
    for (const endpointId of node.endpoints.keys()) this.#add(endpointId, node);
  }

  #unindex(node: RemoteNode): void {
    for (const endpointId of node.endpoints.keys()) this.#drop(endpointId, node);
  }

  #add(endpointId: string, node: RemoteNode): void {
    const nodes = this.#byEndpoint.get(endpointId);
    if (nodes === undefined) this.#byEndpoint.set(endpointId, [node]);
    else if (!nodes.includes(node)) nodes.push(node);
  }

  #drop(endpointId: string, node: RemoteNode): void {
    const nodes = this.#byEndpoint.get(endpointId);
    const at = nodes?.indexOf(node) ?? -1;
    if (nodes === undefined || at < 0) return;
    nodes.splice(at, 1);
    if (nodes.length === 0) this.#byEndpoint.delete(endpointId);
  }
}

function choosable(node: RemoteNode): boolean {
  return node.status === "active" && node.complete;
}
