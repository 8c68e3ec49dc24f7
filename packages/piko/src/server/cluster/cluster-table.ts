// The other nodes of the cluster and the endpoints that they have listeners for, indexed so that the cost of choosing a node
// doesn't depend on the number of nodes and endpoints.

import { ServedBy } from "../../observability/served-by.js";

/** Only active nodes are chosen for requests; the others are just shown. */
export type NodeStatus = "active" | "unreachable" | "left";

/** The two addresses of a node, by their names in the table. */
export type AddressKind = "proxyAddr" | "adminAddr";

/** What our nodes announce about themselves. */
export interface NodeAbout {
  readonly version: string;
  /** Milliseconds since 1970, by its own clock. */
  readonly startedMs: number;
}

/** What is known about a node, including this one. */
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

/** Another node. It keeps the addresses that it announced first, until it withdraws them. */
export class RemoteNode implements NodeSummary {
  readonly id: string;
  /** The node that serves forwarded requests, for the access log. */
  readonly servedBy: ServedBy;
  readonly endpoints: Map<string, number> = new Map();
  /** Those of `endpoints` whose listeners are all doubtful, with the number of listeners that was announced with the doubt. */
  readonly doubtful: Map<string, number> = new Map();
  /** Those of `doubtful` that are announced under the doubt key only, so that Go nodes don't know them. */
  readonly withdrawn: Set<string> = new Set();
  about: NodeAbout | undefined = undefined;
  status: NodeStatus = "active";
  proxyAddr = "";
  adminAddr = "";
  /** A secret among nodes; undefined unless gossip encryption is required. */
  hopSecret: Buffer | undefined = undefined;
  /** The node is stopping: it still accepts requests, but others are chosen first. */
  draining = false;
  /** Which of its ports accept TLS; undefined if it doesn't announce them, like Go nodes. */
  tlsPorts: ReadonlySet<string> | undefined = undefined;
  /** Until this time it is chosen only if there is no other node: a request to it has just failed. */
  ejectedUntilMs = 0;
  /** Failures since the last success. */
  failures = 0;

  constructor(id: string) {
    this.id = id;
    this.servedBy = new ServedBy({ hop: id });
  }

  /** Whether both addresses are known. Until then, a node is neither chosen nor shown. */
  get complete(): boolean {
    return this.proxyAddr !== "" && this.adminAddr !== "";
  }
}

/** The order in which nodes are chosen for an endpoint: lower ranks first. */
export type NodeRank = 0 | 1 | 2 | 3;
export const NODE_HEALTHY: NodeRank = 0;
/** The node is stopping. */
export const NODE_DRAINING: NodeRank = 1;
/** The node's agents leave streams unanswered. */
export const NODE_DOUBTFUL: NodeRank = 2;
/** The node could not be reached a moment ago, or gossip suspects it. */
export const NODE_FAILED: NodeRank = 3;

/** How long a node is left out after its first failure; doubles with each further one. */
const EJECT_MS = 500;
const MAX_EJECT_MS = 10_000;

export class ClusterTable {
  readonly #nodes = new Map<string, RemoteNode>();
  /** Nodes that can be chosen, by endpoint. */
  readonly #byEndpoint = new Map<string, RemoteNode[]>();
  readonly #random: () => number;

  /** `random`: numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  get(id: string): RemoteNode | undefined {
    return this.#nodes.get(id);
  }

  /** Sets which of a node's ports accept TLS; undefined if it doesn't announce them. */
  setTlsPorts(id: string, ports: ReadonlySet<string> | undefined): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.tlsPorts = ports;
  }

  /** Sets what a node announces about itself. */
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

  /** Forgets a node and all that it has announced. */
  remove(id: string): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    this.#nodes.delete(id);
    this.#unindex(node);
  }

  setStatus(id: string, status: NodeStatus): void {
    const node = this.#nodes.get(id);
    // A node that has left doesn't return under the same id until it has been removed.
    if (node === undefined || node.status === status || node.status === "left") return;
    node.status = status;
    this.#unindex(node);
    this.#index(node);
  }

  /** Sets an address; ignored if there is one already. Returns whether this made the node's endpoints reachable. */
  setAddress(id: string, kind: AddressKind, address: string): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined || node[kind] !== "") return false;
    node[kind] = address;
    this.#index(node);
    return isSelectable(node);
  }

  /** The node has withdrawn an address: its next run begins under the same id. */
  clearAddress(id: string, kind: AddressKind): void {
    const node = this.#nodes.get(id);
    if (node === undefined) return;
    this.#unindex(node);
    node[kind] = "";
  }

  /** Sets how many listeners a node has for an endpoint; 0 for none. Returns whether the endpoint is reachable there now. */
  setListeners(id: string, endpointId: string, count: number): boolean {
    const node = this.#nodes.get(id);
    if (node === undefined) return false;
    const doubtful = node.doubtful.get(endpointId) ?? 0;
    if (count > 0 || doubtful === 0) node.withdrawn.delete(endpointId);
    else node.withdrawn.add(endpointId);
    return this.#setCount(node, endpointId, count > 0 ? count : doubtful);
  }

  /**
   * A node has announced that all its `count` listeners for an endpoint are doubtful, or with 0, that they no longer are.
   * Returns whether the endpoint is reachable there now.
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
    return isSelectable(node) && node.endpoints.has(endpointId);
  }

  #setCount(node: RemoteNode, endpointId: string, count: number): boolean {
    const had = node.endpoints.has(endpointId);
    if (count > 0) node.endpoints.set(endpointId, count);
    else node.endpoints.delete(endpointId);
    if (!isSelectable(node)) return false;
    if (count > 0 && !had) this.#add(endpointId, node);
    else if (count <= 0 && had) this.#drop(endpointId, node);
    return count > 0;
  }

  /** Sets whether the node announces that it is stopping. */
  setDraining(id: string, draining: boolean): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.draining = draining;
  }

  /** Sets the secret by which the node recognizes hops; undefined if it was withdrawn. */
  setHopSecret(id: string, secret: Buffer | undefined): void {
    const node = this.#nodes.get(id);
    if (node !== undefined) node.hopSecret = secret;
  }

  /** Whether a node that can be chosen has listeners for the endpoint. */
  hasEndpoint(endpointId: string): boolean {
    return this.#byEndpoint.has(endpointId);
  }

  /**
   * Chooses among the nodes with listeners for the endpoint, except `except`: those of the best rank, at random in proportion to
   * their listeners. Undefined if there is no node with a rank of at most `worst`.
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
      const nodeRank = this.rankOf(node, endpointId, nowMs);
      if (node === except || nodeRank > rank) continue;
      if (nodeRank < rank) total = 0;
      rank = nodeRank;
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

  /** The rank of a node for an endpoint. */
  rankOf(node: RemoteNode, endpointId: string, nowMs: number): NodeRank {
    if (node.ejectedUntilMs > nowMs) return NODE_FAILED;
    if (node.doubtful.size > 0 && node.doubtful.has(endpointId)) return NODE_DOUBTFUL;
    return node.draining ? NODE_DRAINING : NODE_HEALTHY;
  }

  /** Whether a node with listeners for the endpoint, except `except`, isn't left out (any more), so that a retry may succeed. */
  isBack(endpointId: string, nowMs: number, except: unknown): boolean {
    const nodes = this.#byEndpoint.get(endpointId);
    return nodes?.some((node) => node !== except && node.ejectedUntilMs <= nowMs) === true;
  }

  /** A request got through to the node. */
  onSuccess(node: RemoteNode): void {
    node.failures = 0;
    node.ejectedUntilMs = 0;
  }

  /** Gossip waits for a sign of life from the node: until `untilMs`, others are chosen first. */
  onSuspect(node: RemoteNode, untilMs: number): void {
    node.ejectedUntilMs = Math.max(node.ejectedUntilMs, untilMs);
  }

  /**
   * The node could not be reached: others are chosen first for a while, whatever its state in gossip. Further failures within
   * that time are ignored, so that many requests that fail at once count as one.
   */
  onFailure(node: RemoteNode, nowMs: number): void {
    if (node.ejectedUntilMs > nowMs) return;
    node.ejectedUntilMs = nowMs + Math.min(MAX_EJECT_MS, EJECT_MS * 2 ** node.failures);
    node.failures = Math.min(node.failures + 1, 10);
  }

  #index(node: RemoteNode): void {
    if (!isSelectable(node)) return;
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

function isSelectable(node: RemoteNode): boolean {
  return node.status === "active" && node.complete;
}
