// What a simulated node has learned about the others. It checks what the watch guarantees: keys only for members, no node
// leaves twice, and no events about forgotten nodes.

/** Another node, according to the events so far. */
export interface KnownNode {
  left: boolean;
  unreachable: boolean;
  readonly keys: Map<string, string>;
}

type OnNotified = (observer: string, what: string, id: string, key: string, value: string) => void;

/** The table that a server would keep. */
export class View {
  readonly nodes: Map<string, KnownNode> = new Map();
  readonly #observer: string;
  readonly #onNotified: OnNotified | undefined;

  constructor(observer: string, onNotified?: OnNotified) {
    this.#observer = observer;
    this.#onNotified = onNotified;
  }

  onJoin(id: string): void {
    if (this.nodes.has(id)) throw new Error(`${this.#observer}: ${id} joined twice`);
    this.nodes.set(id, { left: false, unreachable: false, keys: new Map() });
    this.#told("join", id);
  }

  onLeave(id: string): void {
    const node = this.#node(id);
    if (node.left) throw new Error(`${this.#observer}: ${id} left twice`);
    node.left = true;
    this.#told("leave", id);
  }

  onReachable(id: string): void {
    this.#node(id).unreachable = false;
    this.#told("reachable", id);
  }

  onUnreachable(id: string): void {
    this.#node(id).unreachable = true;
    this.#told("unreachable", id);
  }

  onUpsert(id: string, key: string, value: string): void {
    this.#node(id).keys.set(key, value);
    this.#told("upsert", id, key, value);
  }

  onDelete(id: string, key: string): void {
    if (!this.#node(id).keys.delete(key)) throw new Error(`${this.#observer}: ${key} of ${id} deleted twice`);
    this.#told("delete", id, key);
  }

  onExpired(id: string): void {
    this.#node(id);
    this.nodes.delete(id);
    this.#told("expired", id);
  }

  /** Nodes that requests would be sent to. */
  routable(): string[] {
    return [...this.nodes].filter(([, { left, unreachable }]) => !left && !unreachable).map(([id]) => id);
  }

  #node(id: string): KnownNode {
    const node = this.nodes.get(id);
    if (node === undefined) throw new Error(`${this.#observer}: told of ${id}, which is no member`);
    return node;
  }

  #told(what: string, id: string, key = "", value = ""): void {
    this.#onNotified?.(this.#observer, what, id, key, value);
  }
}
