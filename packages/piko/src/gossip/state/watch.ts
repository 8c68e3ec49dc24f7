// The events that gossip reports to its owner.

/**
 * Called in the order in which the cluster changes. A node's keys are reported only between its `onJoin` and its `onExpired`;
 * internal ones, too, unless they begin with `_internal:`. This node's own changes are not reported.
 */
export interface GossipWatch {
  /** A node has answered and is now a member; its keys follow. */
  onJoin?(id: string): void;
  /** The node announced that it leaves. It is remembered until `onExpired`. */
  onLeave?(id: string): void;
  /** The node has been silent for longer than usual. It either answers soon, which isn't reported, or becomes unreachable. */
  onSuspect?(id: string): void;
  /** The node answers again. */
  onReachable?(id: string): void;
  /** The node has stopped answering. */
  onUnreachable?(id: string): void;
  onUpsert?(id: string, key: string, value: string): void;
  onDelete?(id: string, key: string): void;
  /** The node is forgotten with all its keys. One that returns joins again. */
  onExpired?(id: string): void;
}
