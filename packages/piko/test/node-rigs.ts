// Rigs of a node's data path. After each test they are closed, and it is checked that nothing is left. Also what their
// clients and agents send most often.

import { afterEach, expect } from "vitest";
import { NodeRig, type NodeRigOptions } from "./node-rig.js";

export const GET = "GET /x HTTP/1.1\r\nHost: e.test\r\n\r\n";
export const POST = "POST /x HTTP/1.1\r\nHost: e.test\r\nContent-Length: 4\r\n\r\n";
export const UPGRADE = "GET /x HTTP/1.1\r\nHost: e.test\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
export const OPTIONS = "OPTIONS * HTTP/1.1\r\nHost: e.test\r\n\r\n";

/** Returns a function that creates a rig. */
export function nodeRigs(): (options?: NodeRigOptions) => NodeRig {
  const rigs: NodeRig[] = [];
  afterEach(() => {
    for (const rig of rigs.splice(0)) {
      rig.close();
      expect(rig.gone).toBe(1);
      expect(rig.metrics.inFlight).toBe(0);
      expect(rig.budget.used).toBe(0);
      expect(rig.upstreams.waits.count).toBe(0);
      expect(rig.upstreams.find("e")?.requests ?? 0).toBe(0);
      rig.clock.assertIdle();
    }
  });
  return (options) => {
    const rig = new NodeRig(options);
    rigs.push(rig);
    return rig;
  };
}

/** Status of a response, from its text. */
export const statusOf = (text: string): string => text.slice(9, 12);
