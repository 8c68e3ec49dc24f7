// The target of a request, which the life cycle passes to the dispatch.

import type { Identity } from "../../auth/identity.js";

/** One per dispatch, overwritten for each request. */
export interface DispatchTarget {
  endpointId: string;
  /** Whether the endpoint is named by the request's host, so that its case may differ. */
  byHost: boolean;
  method: string;
  /** The identity of the sender; undefined if no authentication is required. */
  identity: Identity | undefined;
  /** Whether the request must stay on this node: it has made its hop, or its client wants none. */
  lastNode: boolean;
  /** Whether another node sent it; that one can try further nodes. */
  fromNode: boolean;
  /** Whether that node accepts it back if a further node has better tunnels. */
  reroutable: boolean;
  /**
   * Whether it is a TCP dial. On this node, the client's socket is joined to a tunnel; only a hop treats the dial as a request,
   * an upgrade that the other node answers.
   */
  nodesOnly: boolean;
}

export const EMPTY_TARGET: Readonly<DispatchTarget> = {
  endpointId: "",
  byHost: false,
  method: "",
  identity: undefined,
  lastNode: false,
  fromNode: false,
  reroutable: false,
  nodesOnly: false,
};
