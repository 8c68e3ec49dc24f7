// The events that gossip reports to its owner.

/**
 * Called as the cluster changes, in the order in which it does. A node's keys are reported only between its `onJoin` and its
 * `onExpired`, internal ones too unless they begin with `_internal:`. This node's own changes are not reported.
 */
export interface GossipWatch {
  /** A node that has answered is a member now; its keys follow. */
  onJoin?(id: string): void;
  /** The node said that it leaves. It is remembered until `onExpired`. */
  onLeave?(id: string): void;
  /** The node has been silent for longer than usual; it either answers soon, which is not reported, or becomes unreachable. */
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
