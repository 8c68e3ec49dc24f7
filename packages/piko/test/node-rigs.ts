// Rigs of a node's data path for the tests of a file, which are taken down behind each test: nothing may be left of them. And
// what their clients and agents say most often.

import { afterEach, expect } from "vitest";
import { NodeRig, type NodeRigOptions } from "./node-rig.js";

export const GET = "GET /x HTTP/1.1\r\nHost: e.test\r\n\r\n";
export const POST = "POST /x HTTP/1.1\r\nHost: e.test\r\nContent-Length: 4\r\n\r\n";
export const UPGRADE = "GET /x HTTP/1.1\r\nHost: e.test\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";
export const OPTIONS = "OPTIONS * HTTP/1.1\r\nHost: e.test\r\n\r\n";

/** Returns what makes a rig. */
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

/** Of a response's text. */
export const statusOf = (text: string): string => text.slice(9, 12);
