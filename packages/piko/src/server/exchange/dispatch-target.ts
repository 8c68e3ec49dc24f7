// The target of a request, which its life cycle passes to its dispatch.

import type { Identity } from "../../auth/identity.js";

/** One per dispatch, set anew for each request. */
export interface DispatchTarget {
  endpointId: string;
  /** The endpoint is named by the request's host, so its spelling may differ in case. */
  byHost: boolean;
  method: string;
  /** The identity of the sender; undefined if no authentication is required. */
  identity: Identity | undefined;
  /** The request goes to no other node: it has made its hop, or its client wants none. */
  lastNode: boolean;
  /** Another node has sent it, and knows of further ones. */
  fromNode: boolean;
  /** That node takes it back if a further one has better tunnels. */
  takenBack: boolean;
  /**
   * A TCP dial: a tunnel of this node is joined to the client's socket; as a request, an upgrade, it can only go to another
   * node, which answers it.
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
  takenBack: false,
  nodesOnly: false,
};
