// Rigs of TCP clients, each connected to a tunnel. After each test they are closed, and it is checked that nothing is left.

import { afterEach, expect } from "vitest";
import { TcpRig, type TcpRigOptions } from "./tcp-rig.js";

interface TcpRigs {
  /** Closes this rig too after the test. */
  keep(rig: TcpRig): TcpRig;
  /** A client that is connected to a tunnel. */
  join(options?: TcpRigOptions): TcpRig;
}

export function tcpRigs(): TcpRigs {
  const rigs: TcpRig[] = [];
  afterEach(() => {
    for (const rig of rigs.splice(0)) {
      const { node } = rig;
      rig.close();
      rig.observed();
      expect(node.gone).toBe(1);
      expect(node.metrics.inFlight).toBe(0);
      expect(node.budget.used).toBe(0);
      expect(node.upstreams.find("e")?.requests ?? 0).toBe(0);
      expect(node.statuses).toEqual({ "101": 1 });
      node.clock.assertIdle();
    }
  });
  const keep = (rig: TcpRig): TcpRig => {
    rigs.push(rig);
    return rig;
  };
  return { keep, join: (options) => keep(new TcpRig(options).dial()) };
}
