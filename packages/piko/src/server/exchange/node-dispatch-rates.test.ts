// Requests to tunnels of a tenant with a rate limit: which are refused, and which are counted.

import { describe, expect, it } from "vitest";
import { MemoryTunnel } from "../../../test/memory-stream.js";
import type { NodeRig } from "../../../test/node-rig.js";
import { GET, nodeRigs } from "../../../test/node-rigs.js";
import { TcpRig } from "../../../test/tcp-rig.js";
import { TenantUse } from "../upstream/tenant-use.js";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const create = nodeRigs();

/** Makes the rig's tunnel that of a tenant with these limits. */
function limit(rig: NodeRig, requestsPerSecond: number, requestsPerSecondPerEndpoint: number): TenantUse {
  const more = { maxTunnels: 9, maxEndpoints: 9 };
  const use = new TenantUse({ ...more, requestsPerSecond, requestsPerSecondPerEndpoint }, rig.clock);
  rig.tunnel.tenant = use;
  use.add(rig.tunnel);
  return use;
}

describe("a request above a tenant's rate", () => {
  it.each([
    ["for all of its endpoints", 1, 9, "too many requests for this tenant", "requests_per_second"],
    ["for one endpoint", 9, 1, "too many requests for this endpoint", "requests_per_second_per_endpoint"],
  ])("%s is answered at once, and later ones reach the service", (_title, all, each, message, name) => {
    const rig = create();
    limit(rig, all, each);
    rig.socket.send(GET + GET);
    rig.stream.deliver(OK);
    const [, answer = ""] = rig.socket.take().split("\r\n\r\nok");
    expect(answer).toMatch(/^HTTP\/1.1 429 .*Retry-After: 1\r\n/s);
    expect(answer).toContain(message);
    expect([rig.asked, rig.hits]).toEqual([1, [name]]);
    rig.clock.advance(1_000);
    rig.socket.send(GET);
    expect(rig.asked).toBe(2);
  });

  it("isn't a retry of one whose tunnel was lost", () => {
    const rig = create();
    const use = limit(rig, 1, 1);
    const other = new MemoryTunnel("e");
    other.tenant = use;
    rig.upstreams.add(other.asTunnel());
    rig.socket.send(GET);
    rig.stream.refused = true;
    rig.stream.handler.onReset();
    other.stream.deliver(OK);
    expect([rig.statuses, rig.hits]).toEqual([{ "200": 1 }, []]);
  });

  it("may be a TCP dial, which is refused before anything is joined", () => {
    const rig = new TcpRig();
    limit(rig.node, 1, 1).enter("e");
    rig.socket.send(rig.request());
    expect(rig.socket.take()).toMatch(
      /^HTTP\/1.1 429 .*Retry-After: 1\r\n.*too many requests for this endpoint/s,
    );
    expect(rig.node.asked).toBe(0);
    rig.node.close();
    rig.node.clock.assertIdle();
  });
});
