// One client's connection with its exchange and a tunnel, all in memory: timeouts, clients that disconnect, and upgrades.

import { describe, expect, it } from "vitest";
import { nextTurn } from "../../net/next-turn.js";
import { GET, nodeRigs, OPTIONS, POST, statusOf, UPGRADE } from "../../../test/node-rigs.js";

const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n";

const create = nodeRigs();

describe("H1Client", () => {
  describe("timeouts", () => {
    it("close an idle connection without a response", async () => {
      for (const before of ["", OPTIONS]) {
        const rig = create({ http: { readHeaderTimeoutMs: 1_000, idleTimeoutMs: 2_000 } });
        rig.socket.send(before);
        rig.socket.take();
        rig.clock.advance(before === "" ? 750 : 1_750);
        expect(rig.socket.calls).toEqual([]);
        rig.clock.advance(500);
        await nextTurn();
        expect(rig.socket.calls[0]).toBe("destroy");
        expect(rig.socket.take()).toBe("");
      }
    });

    it("spare an idle connection whose request arrived in time but is only read now", async () => {
      const rig = create({ http: { idleTimeoutMs: 1_000 } });
      rig.socket.send(OPTIONS);
      rig.socket.take();
      rig.clock.advance(1_250);
      rig.socket.send(OPTIONS);
      await nextTurn();
      expect(statusOf(rig.socket.take())).toBe("200");
      expect(rig.socket.calls).toEqual([]);
    });

    it("refuse an incomplete head even if its bytes keep dripping in", () => {
      const rig = create({ http: { readHeaderTimeoutMs: 1_000 } });
      for (const byte of "GET /") {
        rig.socket.send(byte);
        rig.clock.advance(250);
      }
      expect(statusOf(rig.socket.take())).toBe("408");
      expect(rig.hits).toEqual(["read_header_timeout"]);
    });

    it("refuse a stalled body, unless the tunnel has no room", () => {
      const rig = create({ http: { readTimeoutMs: 1_000 } });
      rig.socket.send(POST);
      rig.stream.room = 0;
      rig.socket.send("ab");
      rig.clock.advance(5_000);
      expect(rig.socket.take()).toBe("");
      rig.stream.makeRoom();
      rig.clock.advance(1_250);
      expect(statusOf(rig.socket.take())).toBe("408");
      expect(rig.hits).toEqual(["read_timeout"]);
      expect(rig.stream.calls).toEqual(["reset"]);
    });

    it("end a connection whose client doesn't read a response", () => {
      const rig = create({ http: { writeTimeoutMs: 1_000 } });
      rig.socket.send(GET);
      rig.socket.stalled = true;
      rig.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
      rig.socket.out.flush();
      rig.clock.advance(1_500);
      expect(rig.hits).toContain("write_timeout");
      expect(rig.socket.calls[0]).toBe("reset");
      expect(rig.stream.calls).toEqual(["reset"]);
      expect(rig.statuses).toEqual({ "200": 1 });
    });

    it("end a connection whose client doesn't read a refusal", () => {
      const rig = create({ http: { writeTimeoutMs: 1_000 } });
      rig.socket.stalled = true;
      rig.socket.send("nonsense\r\n\r\n");
      rig.clock.advance(1_500);
      expect([rig.hits[0], rig.socket.calls.slice(0, 2)]).toEqual(["write_timeout", ["close", "reset"]]);
      expect(rig.statuses).toEqual({});
    });

    it("of 0 are disabled", () => {
      const http = { readHeaderTimeoutMs: 0, readTimeoutMs: 0, writeTimeoutMs: 0, idleTimeoutMs: 0 };
      const rig = create({ http });
      rig.clock.advance(1_000_000);
      rig.socket.send(OPTIONS);
      rig.clock.advance(1_000_000);
      rig.socket.send(POST);
      rig.clock.advance(20_000);
      expect(rig.socket.calls).toEqual([]);
    });
  });

  describe("a client that disconnects", () => {
    it("cancels its request, whether it ends or closes", () => {
      for (const go of ["onEnd", "onClose"] as const) {
        const rig = create();
        rig.socket.send(GET);
        if (go === "onEnd") rig.socket.handler?.onEnd();
        else rig.close();
        expect(rig.stream.calls).toEqual(["reset"]);
        expect(rig.statuses).toEqual({ "499": 1 });
      }
    });

    it("cancels its request that waits for an endpoint", () => {
      const rig = create();
      rig.upstreams.remove(rig.tunnel.asTunnel());
      rig.socket.send(GET);
      rig.socket.handler?.onEnd();
      expect([rig.statuses, rig.upstreams.waits.count]).toEqual([{ "499": 1 }, 0]);
      expect(rig.socket.calls).toEqual(["close"]);
    });

    it("is handled only once", () => {
      const rig = create();
      rig.socket.send(GET);
      rig.socket.handler?.onEnd();
      rig.close();
      rig.close();
      rig.socket.handler?.onEnd();
      expect([rig.gone, rig.statuses]).toEqual([1, { "499": 1 }]);
      expect(rig.socket.calls).toEqual(["close"]);
    });

    it("between requests just has its connection closed", () => {
      const rig = create();
      rig.socket.handler?.onEnd();
      expect(rig.socket.calls).toEqual(["close"]);
    });
  });

  describe("an upgrade", () => {
    it("passes bytes both ways, early ones first, and each direction's end by itself", () => {
      const rig = create();
      rig.socket.send(`${UPGRADE}early`);
      rig.stream.deliver(`${SWITCH}hi`);
      expect(rig.stream.written.endsWith("\r\n\r\nearly")).toBe(true);
      rig.socket.send(" late");
      expect(rig.stream.written.endsWith("early late")).toBe(true);
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 101 .*\r\n\r\nhi$/s);
      rig.stream.handler.onEnd();
      expect(rig.socket.calls).toEqual(["end"]);
      rig.socket.handler?.onEnd();
      expect(rig.stream.calls).toEqual(["end later"]);
      expect(rig.socket.calls).toEqual(["end", "close"]);
      expect(rig.statuses).toEqual({ "101": 1 });
    });

    it("offers half-close to clients that ask for it, whatever the service claims", () => {
      const capability = "x-piko-capabilities: half-close\r\n";
      for (const [field, halfClose] of [
        [capability, true],
        // Not from a node's address, so this isn't believed.
        ["x-piko-forward: true\r\n", true],
        ["", true],
        [capability, false],
      ] as const) {
        const rig = create();
        rig.tunnel.drainable = halfClose;
        rig.socket.send(UPGRADE.replace("\r\n\r\n", `\r\n${field}\r\n`));
        rig.stream.deliver(SWITCH.replace("\r\n\r\n", `\r\n${capability}\r\n`));
        expect(rig.socket.take().includes(capability)).toBe(field === capability && halfClose);
      }
    });

    it("continues when its client's certificate is no longer accepted", () => {
      const rig = create();
      rig.socket.send(UPGRADE);
      rig.stream.deliver(SWITCH);
      rig.connection.retire();
      rig.socket.send("still");
      rig.stream.deliver("here");
      expect(rig.stream.written.endsWith("\r\n\r\nstill")).toBe(true);
      expect(rig.socket.take().endsWith("\r\n\r\nhere")).toBe(true);
      expect(rig.socket.calls).toEqual([]);
    });

    it("that is cut on one side is reset on the other", () => {
      const byAgent = create();
      byAgent.socket.send(UPGRADE);
      byAgent.stream.deliver(SWITCH);
      byAgent.stream.handler.onReset();
      expect(byAgent.socket.calls).toEqual(["reset"]);
      const byClient = create();
      byClient.socket.send(UPGRADE);
      byClient.stream.deliver(SWITCH);
      byClient.close();
      expect(byClient.stream.calls).toEqual(["reset"]);
    });

    it("that wasn't requested is a 502, and the next request is still served", () => {
      const rig = create();
      rig.socket.send(GET + GET);
      rig.stream.deliver("HTTP/1.1 101 X\r\n\r\nraw");
      expect(statusOf(rig.socket.take())).toBe("502");
      expect(rig.tunnel.streams[0]?.calls).toEqual(["reset"]);
      expect(rig.asked).toBe(2);
    });

    it("pauses the socket until the tunnel has taken the early bytes", () => {
      const rig = create();
      rig.socket.send(UPGRADE);
      rig.socket.send("early");
      rig.stream.room = 2;
      rig.stream.deliver(SWITCH);
      expect([rig.stream.written.endsWith("\r\n\r\nea"), rig.socket.paused]).toEqual([true, true]);
      rig.stream.makeRoom();
      expect([rig.stream.written.endsWith("early"), rig.socket.paused]).toEqual([true, false]);
    });

    it("waits for room in the tunnel", () => {
      const rig = create();
      rig.socket.send(UPGRADE);
      rig.stream.deliver(SWITCH);
      rig.stream.room = 0;
      rig.socket.send("bytes");
      expect(rig.socket.paused).toBe(true);
      rig.socket.handler?.onEnd();
      expect(rig.stream.calls).toEqual([]);
      rig.stream.makeRoom();
      expect(rig.stream.written.endsWith("bytes")).toBe(true);
      expect(rig.stream.calls).toEqual(["end"]);
    });
  });

  it("leaves its socket to another handler", () => {
    const rig = create();
    expect(rig.connection.handOver()).toBe(rig.socket);
    rig.socket.send(GET);
    rig.clock.advance(1_000_000);
    expect([rig.asked, rig.socket.calls]).toEqual([0, []]);
  });
});
