// Gossip messages as values. The codec turns them into bytes; nothing else knows the names used on the wire.

/** First byte of a datagram or of a TCP request; the second is the protocol's version, 0. */
export const MESSAGE_DIGEST = 1;
export const MESSAGE_DELTA = 2;
export const MESSAGE_JOIN = 3;
export const MESSAGE_LEAVE = 4;
export const PROTOCOL_VERSION = 0;

/** Key by which a node announces that it has left. */
export const LEFT_KEY = "_internal:left";
/** Key whose value is a version: entries of the node up to it are dropped. */
export const COMPACT_KEY = "_internal:compact";

/** One key of a node, at the node's version when it last changed. */
export interface Entry {
  readonly key: string;
  readonly value: string;
  readonly version: number;
  /** Whether it is internal: kept and passed on, but not reported if it belongs to the protocol. */
  readonly internal: boolean;
  readonly deleted: boolean;
}

/** Which version of one node the sender of a digest has. */
export interface DigestEntry {
  readonly id: string;
  readonly addr: string;
  readonly version: number;
  readonly left: boolean;
}

/** The sender: its id, and the `host:port` to which answers are sent. */
export interface Sender {
  readonly nodeId: string;
  readonly addr: string;
}

/** Entries of one node, in ascending order of version. */
export interface NodeDelta {
  readonly id: string;
  readonly addr: string;
  readonly entries: readonly Entry[];
}

/** A datagram. */
export type Packet =
  | {
      readonly type: typeof MESSAGE_DIGEST;
      readonly from: Sender;
      /** Whether the sender wants a digest in return. */
      readonly request: boolean;
      readonly entries: readonly DigestEntry[];
    }
  | { readonly type: typeof MESSAGE_DELTA; readonly from: Sender; readonly nodes: readonly NodeDelta[] };
