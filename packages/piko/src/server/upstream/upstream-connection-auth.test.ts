// Who may listen: tokens that are known, tokens that are verified while their connection waits, and tokens that later end a
// tunnel.

import { FakeClock } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { AuthDesk, identityFor } from "../../../test/auth-desk.js";
import { eventually, type PortPeer } from "../../../test/port-peer.js";
import { RecordedLog } from "../../../test/recorded-log.js";
import { UpstreamRig, type UpstreamRigOptions, upgradeRequest } from "../../../test/upstream-rig.js";
import { AuditLog } from "../../auth/audit-log.js";
import { REFUSED } from "../../auth/refusal.js";

let audit: RecordedLog;
let desk: AuthDesk;
let rig: UpstreamRig | undefined;

afterEach(async () => {
  const last = rig;
  rig = undefined;
  await last?.[Symbol.asyncDispose]();
  expect([last?.budget.used, last?.port.highestClientCount]).toEqual([0, 0]);
  last?.clock.assertIdle();
});

async function start(options?: UpstreamRigOptions): Promise<UpstreamRig> {
  audit = new RecordedLog();
  desk = new AuthDesk("upstream", new AuditLog("upstream", audit.logger, new FakeClock()));
  rig = await UpstreamRig.start({ ...options, auth: desk });
  return rig;
}

const TOKEN = "Authorization: Bearer t\r\n";
const GOOD = upgradeRequest("e", TOKEN);
/** A GoAway in a message whose mask is zero. */
const GO_AWAY = "\u0082\u008c\0\0\0\0\0\u0003\0\0\0\0\0\0\0\0\0\0";
const statusOf = (answer: string): string => answer.slice(9, 12);

describe("a request whose token must be verified", () => {
  it("waits with its socket paused, then becomes a tunnel with the bytes received meanwhile", async () => {
    const rig = await start();
    const peer = (await rig.connect()).send(GOOD);
    await eventually(() => desk.waiter !== undefined);
    expect([desk.asked, rig.tunnels.length, rig.port.pendingCount]).toEqual([["Bearer t"], 0, 1]);
    // The connection has no timeout now; the verification has one.
    rig.clock.advance(60_000);
    peer.send(GO_AWAY);
    desk.answer(["e"]);
    await peer.until(({ text }) => text.includes("\r\n\r\n"));
    expect(statusOf(peer.text)).toBe("101");
    await rig.log.line("upstream draining");
    expect(audit.find("opened")).toMatchObject([{ "client-ip": "127.0.0.1", "endpoint-id": "e" }]);
  });

  it("has its token verified once, for its tenant", async () => {
    const rig = await start();
    const peer = (await rig.connect()).send(upgradeRequest("e", `x-piko-tenant-id: a\r\n${TOKEN}`));
    await eventually(() => desk.waiter !== undefined);
    desk.answer(["e"]);
    await peer.until(({ text }) => text.includes("\r\n\r\n"));
    expect([desk.asked, rig.tunnel.tenantId]).toEqual([["Bearer t of a"], "a"]);
  });

  it("is forgotten when its agent disconnects", async () => {
    const rig = await start();
    const peer = (await rig.connect()).send(GOOD);
    await eventually(() => desk.waiter !== undefined);
    // A paused socket doesn't report its end; a stopping node ends the connection, too.
    rig.port.stopAccepting();
    await peer.over();
    peer.socket.destroy();
    await eventually(() => rig.port.pendingCount === 0);
    expect([desk.waiter, desk.cancelled]).toEqual([undefined, 1]);
    expect(rig.announced).toEqual([]);
  });

  it.each([
    ["an invalid token", REFUSED.signature, "401", "invalid token"],
    ["a token that can't be verified now", REFUSED.busy, "503", "Retry-After: 1\r\n"],
  ])(
    "is refused for %s, with the reason in the logs but not in the response",
    async (_, refusal, status, text) => {
      const rig = await start();
      const peer = (await rig.connect()).send(GOOD);
      await eventually(() => desk.waiter !== undefined);
      desk.answer(refusal);
      const answer = await peer.over();
      expect(statusOf(answer)).toBe(status);
      expect(answer).toContain(text);
      expect(answer).not.toContain(refusal.reason);
      const { reason } = refusal;
      expect(await rig.log.line("upstream refused")).toMatchObject({ status: Number(status), reason });
      expect(audit.find("refused")).toMatchObject([{ "client-ip": "127.0.0.1", reason }]);
      expect([...desk.refused]).toEqual([[reason, 1]]);
      expect(rig.announced).toEqual([]);
    },
  );
});

describe("a request whose token is known", () => {
  it("becomes a tunnel at once", async () => {
    const rig = await start();
    desk.known = identityFor(["e"]);
    await rig.rawAgent(GOOD);
    expect(rig.tunnel.identity).toBe(desk.known);
  });

  it("is refused for another endpoint", async () => {
    const rig = await start();
    desk.known = identityFor(["f"]);
    const answer = await rig.refusal(GOOD);
    expect(statusOf(answer)).toBe("401");
    expect(answer).toContain("endpoint not permitted");
    expect(audit.find("refused")).toMatchObject([{ "endpoint-id": "e", reason: "endpoint" }]);
  });
});

it("a request without a token is refused", async () => {
  const rig = await start();
  const answer = await rig.refusal(upgradeRequest());
  expect(statusOf(answer)).toBe("401");
  expect(answer).toContain("missing authorization");
  expect(desk.asked).toEqual(["nothing"]);
});

describe("a tunnel whose token", () => {
  it("expires is ended then", async () => {
    const rig = await start();
    desk.known = identityFor(["e"], { expiresMs: rig.wallOffsetMs + 10_000 });
    await rig.rawAgent(GOOD);
    rig.clock.advance(9_999);
    expect(rig.tunnels).toHaveLength(1);
    rig.clock.advance(1);
    expect(await rig.log.line("upstream token is no longer valid")).toMatchObject({ reason: "expired" });
    expect([rig.tunnels, rig.announced]).toEqual([[], ["e 1", "e 0"]]);
  });

  it("expires stays open if its token allows that", async () => {
    const rig = await start({ limits: { pingIntervalMs: 100_000 } });
    desk.known = identityFor(["e"], { expiresMs: rig.wallOffsetMs + 10_000, outlivesToken: true });
    await rig.rawAgent(GOOD);
    rig.clock.advance(50_000);
    expect(rig.tunnel.usable).toBe(true);
  });

  it("is no longer valid after a change of keys is ended, and audited once", async () => {
    const rig = await start();
    desk.known = identityFor(["e"]);
    await rig.rawAgent(GOOD);
    desk.changed();
    expect(rig.tunnels).toHaveLength(1);
    desk.trusts = false;
    desk.changed();
    expect(rig.tunnels).toEqual([]);
    expect(await audit.line("lost")).toMatchObject({ "endpoint-id": "e", reason: "no longer trusted" });
    rig.clock.advance(5_000);
    await rig.log.line("upstream disconnected");
    expect(audit.find("lost")).toHaveLength(1);
  });

  it("would be invalid stays open if tokens are no longer required", async () => {
    const rig = await start();
    desk.known = identityFor(["e"]);
    await rig.rawAgent(GOOD);
    desk.trusts = false;
    desk.use(undefined);
    expect(rig.tunnel.usable).toBe(true);
  });

  it.each<[string, (peer: PortPeer) => unknown, string]>([
    // A Close frame whose mask is zero.
    ["closes is recorded as closed", (peer) => peer.send("\u0088\u0080\0\0\0\0"), "closed"],
    ["breaks is recorded with the reason", (peer) => peer.socket.resetAndDestroy(), "ECONNRESET"],
  ])("is valid, and which %s", async (_, act, reason) => {
    const rig = await start();
    desk.known = identityFor(["e"]);
    act(await rig.rawAgent(GOOD));
    const line = await audit.line("lost");
    expect(line).toMatchObject({ "endpoint-id": "e" });
    expect(line["reason"]).toContain(reason);
  });
});
