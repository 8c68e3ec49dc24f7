// What the connections of a proxy port share: which clients are treated as nodes, and how invalid responses are logged.

import { describe, expect, it } from "vitest";
import { AddressRanges } from "../../base/address-ranges.js";
import { requestHead } from "../../../test/memory-heads.js";
import { NodeRig } from "../../../test/node-rig.js";
import { RecordedLog } from "../../../test/recorded-log.js";
import type { ProxyDependencies } from "./proxy-context.js";

const GET = "GET /x HTTP/1.1\r\nHost: e.test\r\nAuthorization: secret\r\n\r\n";

describe("a client is treated as a node if it has a node's address", () => {
  it.each([
    ["192.0.2.1", true],
    ["192.0.2.10", false],
    ["92.0.2.1", false],
    ["2001:db8::1", true],
    ["2001:db8::", false],
    ["2001:db8::11", false],
    ["", false],
  ])("%s: %s", (address, isNode) => {
    const nodes = [{ proxyAddr: "192.0.2.1:8000" }, { proxyAddr: "[2001:db8::1]:8000" }, { proxyAddr: "" }];
    const cluster = { table: { nodes: () => nodes } };
    const rig = new NodeRig({ dependencies: { cluster } as unknown as Partial<ProxyDependencies> });
    expect(rig.context.isNode(address)).toBe(isNode);
    rig.close();
  });

  it("but never without a cluster", () => {
    const rig = new NodeRig();
    expect(rig.context.isNode("192.0.2.1")).toBe(false);
    rig.close();
  });
});

describe("a request that claims to come from a node", () => {
  const SECRET = "c2VjcmV0LXNlY3JldC1zZW";
  const NODE = "192.0.2.1";
  const nodes = [{ proxyAddr: `${NODE}:8000` }];

  it.each([
    // its field and its address; whether it is believed if nodes have secrets, and if they have none
    ["", NODE, false, true],
    [`x-piko-hop: ${SECRET}`, NODE, true, true],
    [`x-piko-hop: ${SECRET}`, "192.0.2.99", true, false],
    [`X-Piko-Hop:  ${SECRET} `, "192.0.2.99", true, false],
    [`x-piko-hop: ${SECRET.slice(1)}`, NODE, false, true],
    [`x-piko-hop: ${SECRET}x`, NODE, false, true],
    [`x-piko-hop: ${SECRET.toUpperCase()}`, NODE, false, true],
    ["x-piko-hop:", NODE, false, true],
    [`x-piko-hop: guess\r\nx-piko-hop: ${SECRET}`, NODE, false, true],
    [`x-hop: ${SECRET}`, NODE, false, true],
  ])("with %j from %s is believed by secret: %s; by address: %s", (fields, address, bySecret, byAddress) => {
    for (const [hopSecret, expected] of [
      [Buffer.from(SECRET), bySecret],
      [undefined, byAddress],
    ] as const) {
      const cluster = { hopSecret, table: { nodes: () => nodes } };
      const rig = new NodeRig({ dependencies: { cluster } as unknown as Partial<ProxyDependencies> });
      const head = requestHead(
        `GET / HTTP/1.1\r\nHost: e.test\r\n${fields}\r\nx: y\r\n\r\n`.replace("\r\n\r\nx: y", "\r\nx: y"),
      );
      expect(rig.context.isHop(head, address)).toBe(expected);
      expect(rig.context.hasHopSecret).toBe(hopSecret !== undefined);
      rig.close();
    }
  });
});

describe("an invalid response", () => {
  it.each<[string, string, string, string[]]>([
    ["nonsense", "nonsense\r\n\r\n", "502", []],
    ["a protocol that wasn't requested", "HTTP/1.1 101 X\r\n\r\n", "502", []],
    ["an endless head", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`, "502", ["max_response_header_bytes"]],
  ])(
    "is refused, and logged with its request but without its secrets: %s",
    async (_title, answer, status, hits) => {
      const log = new RecordedLog();
      const limits = { maxResponseHeaderBytes: 8_192 };
      const rig = new NodeRig({ limits, dependencies: { logger: log.logger } });
      rig.socket.send(GET);
      rig.stream.deliver(answer);
      expect(rig.socket.take().slice(9, 12)).toBe(status);
      const line = await log.line("upstream response refused");
      expect(line).toMatchObject({ level: "warn" });
      expect(JSON.stringify(line)).not.toContain("secret");
      expect(rig.hits).toEqual(hits);
      rig.close();
    },
  );

  it("isn't logged if it never arrived", async () => {
    const log = new RecordedLog();
    const rig = new NodeRig({ dependencies: { logger: log.logger } });
    rig.socket.send(GET.replace("GET", "POST"));
    rig.stream.handler.onReset();
    expect(rig.socket.take().slice(9, 12)).toBe("502");
    log.logger.info("the next line");
    await log.line("the next line");
    expect(log.lines).toHaveLength(1);
    rig.close();
  });
});

it("the sender of a request is taken from a trusted proxy, only if the access log is enabled", () => {
  const settings = { trustedProxies: new AddressRanges(["192.0.2.1"]) };
  for (const [trusted, enabled, sender] of [
    [true, true, "203.0.113.9"],
    [true, false, "192.0.2.1"],
    [false, true, "192.0.2.1"],
  ] as const) {
    const rig = new NodeRig({ trusted, settings });
    const head = requestHead("GET / HTTP/1.1\r\nHost: e.test\r\nX-Forwarded-For: 203.0.113.9");
    Object.assign(rig.context.accessLog, { enabled });
    expect(rig.connection.senderOf(head)).toBe(sender);
    rig.close();
  }
});
