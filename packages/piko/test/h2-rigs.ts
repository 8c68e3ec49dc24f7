// A node's data path in memory with a client that speaks HTTP/2; closed after each test.

import { afterEach, expect } from "vitest";
import type { ProxyConfig } from "../src/config/server.js";
import { createH2Shared, H2Client, type H2Shared } from "../src/server/clients/h2-client.js";
import { H2Peer } from "./h2-peer.js";
import { MemorySocket } from "./memory-socket.js";
import { NodeRig, type NodeRigOptions } from "./node-rig.js";

export interface H2RigOptions extends NodeRigOptions {
  readonly http2?: Partial<ProxyConfig["http2"]>;
  /** The client's first SETTINGS. */
  readonly settings2?: readonly (readonly [id: number, value: number])[];
}

export class H2Rig {
  readonly node: NodeRig;
  readonly socket = new MemorySocket();
  readonly connection: H2Client;
  readonly peer: H2Peer;
  readonly shared: H2Shared;
  gone = 0;

  constructor({ http2, settings2 = [], ...options }: H2RigOptions) {
    this.node = new NodeRig(options);
    // Its HTTP/1.1 client isn't used here.
    this.node.close();
    const { context } = this.node;
    const config = { ...context.config, http2: { ...context.config.http2, ...http2 } };
    this.shared = createH2Shared({ config });
    const client = { address: "192.0.2.1", trusted: false, secure: false, certificate: "", counted: true };
    this.connection = new H2Client(
      context,
      this.shared,
      this.socket.asSocket(),
      client,
      () => void this.gone++,
    );
    this.peer = new H2Peer(this.socket, ...settings2);
  }

  close(): void {
    this.socket.handler?.onClose(undefined);
  }
}

/** Returns a function that creates a rig. */
export function h2Rigs(): (options?: H2RigOptions) => H2Rig {
  const rigs: H2Rig[] = [];
  afterEach(() => {
    for (const rig of rigs.splice(0)) {
      rig.close();
      expect(rig.gone).toBe(1);
      expect(rig.node.metrics.inFlight).toBe(0);
      expect([rig.node.budget.used, rig.shared.unsent.used]).toEqual([0, 0]);
      expect(rig.node.upstreams.waits.count).toBe(0);
      expect(rig.node.upstreams.find("e")?.requests ?? 0).toBe(0);
      rig.node.clock.assertIdle();
    }
  });
  return (options = {}) => {
    const rig = new H2Rig(options);
    rigs.push(rig);
    return rig;
  };
}
