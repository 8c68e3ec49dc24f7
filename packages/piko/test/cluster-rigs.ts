// Rigs of a node in a cluster. After each test they are closed, and it is checked that nothing is left. Also what their
// clients, agents and other nodes send most often.

import { afterEach, expect } from "vitest";
import { ClusterRig } from "./cluster-rig.js";
import type { MemoryTunnel } from "./memory-stream.js";
import type { NodeRigOptions } from "./node-rig.js";

export const GET = "GET /x HTTP/1.1\r\nHost: e.test\r\n\r\n";
export const POST = "POST /x HTTP/1.1\r\nHost: e.test\r\nContent-Length: 2\r\n\r\nab";
export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** A request as forwarded by another node, with these fields added. */
export const forwarded = (fields: string, request = GET): string =>
  request.replace("\r\n\r\n", `\r\nx-piko-forward: true\r\n${fields}\r\n`);

/** Returns a function that creates a rig. */
export function clusterRigs(): (options?: NodeRigOptions) => ClusterRig {
  const rigs: ClusterRig[] = [];
  afterEach(() => {
    for (const rig of rigs.splice(0)) {
      rig.close();
      expect([rig.metrics.inFlight, rig.budget.used, rig.upstreams.waits.count]).toEqual([0, 0, 0]);
      expect(rig.upstreams.find("e")?.requests ?? 0).toBe(0);
      rig.clock.assertIdle();
    }
  });
  return (options) => {
    const rig = new ClusterRig(options);
    rigs.push(rig);
    return rig;
  };
}

/** A tunnel whose agent stopped responding while it had a request. By default the agent hasn't accepted its stream. */
export function silent(
  rig: ClusterRig,
  request: string,
  stream: Partial<MemoryTunnel["stream"]> = {},
): MemoryTunnel {
  const tunnel = rig.addTunnel("well");
  rig.socket.send(request);
  Object.assign(tunnel.stream, { unacknowledged: true, ...stream });
  rig.doubt(tunnel);
  return tunnel;
}
