// Bytes that a client sends early: pipelined requests, bodies, data after an upgrade request.

import { describe, expect, it } from "vitest";
import { GET, nodeRigs, OPTIONS, statusOf } from "../../../test/node-rigs.js";
import { RecordedLog } from "../../../test/recorded-log.js";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const create = nodeRigs();
const count = (text: string, part: string): number => text.split(part).length - 1;

describe("bytes that arrive early", () => {
  it("are buffered up to the limit of the connection", () => {
    const rig = create({ limits: { maxBufferedBytesPerConnection: 100 } });
    rig.socket.send(GET);
    rig.socket.send(GET.repeat(3));
    expect(rig.socket.paused).toBe(false);
    rig.socket.send(GET);
    expect(rig.socket.paused).toBe(true);
    expect(rig.hits).toEqual(["max_buffered_bytes_per_connection"]);
    for (let i = 0; i < 5; i++) rig.stream.deliver(OK);
    expect(count(rig.socket.take(), "200 OK")).toBe(5);
    expect(rig.socket.paused).toBe(false);
  });

  it("pause the socket until the buffer is below the limit again", () => {
    const rig = create({ limits: { maxBufferedBytesPerConnection: 100 } });
    rig.socket.send(GET);
    rig.socket.send(GET.repeat(6));
    const answer = (): boolean => {
      rig.stream.deliver(OK);
      return rig.socket.paused;
    };
    // 100 bytes are slightly more than three requests.
    expect([answer(), answer(), answer(), answer()]).toEqual([true, true, false, false]);
    expect(rig.hits).toEqual(["max_buffered_bytes_per_connection"]);
  });

  it("may be the beginning of the next request, split anywhere", () => {
    for (let cut = 1; cut < GET.length; cut++) {
      const rig = create();
      rig.socket.send(GET);
      rig.socket.send(GET + GET.slice(0, cut));
      rig.stream.deliver(OK);
      rig.stream.deliver(OK);
      expect(rig.asked).toBe(2);
      rig.clock.advance(5_000);
      rig.socket.send(GET.slice(cut));
      expect(rig.asked).toBe(3);
      rig.stream.deliver(OK);
      expect(count(rig.socket.take(), "200 OK")).toBe(3);
      expect(rig.socket.calls).toEqual([]);
    }
  });

  it("may follow a request that is answered at once, and get the full timeout from then on", () => {
    for (const rest of [true, false]) {
      const rig = create({ http: { readHeaderTimeoutMs: 1_000 } });
      rig.socket.send(GET);
      rig.socket.send(OPTIONS + GET.slice(0, 9));
      rig.clock.advance(5_000);
      rig.stream.deliver(OK);
      expect(count(rig.socket.take(), "200 OK")).toBe(2);
      rig.clock.advance(750);
      expect(rig.socket.calls).toEqual([]);
      if (rest) rig.socket.send(GET.slice(9));
      rig.clock.advance(500);
      expect([rig.asked, statusOf(rig.socket.take())]).toEqual(rest ? [2, ""] : [1, "408"]);
    }
  });

  it("are refused after the response in progress if they can't become a request", () => {
    for (const [bad, status] of [
      ["nonsense\r\n\r\n", "400"],
      ["GET / HTTP/1.1\rX", "400"],
      [`${GET.slice(0, -2)}\n`, "400"],
    ] as const) {
      const rig = create();
      rig.socket.send(GET);
      rig.socket.send(bad);
      expect(rig.socket.take()).toBe("");
      rig.stream.deliver(OK);
      const [first = "", second = ""] = rig.socket.take().split(/(?<=ok)/);
      expect([statusOf(first), statusOf(second)]).toEqual(["200", status]);
      expect(rig.socket.calls).toEqual(["close"]);
    }
  });

  it("that begin a TLS handshake are answered and logged as such", async () => {
    const log = new RecordedLog();
    // The first bytes of a handshake record with a ClientHello, without and with a line end in it.
    for (const [index, hello] of ["\x16\x03\x01\x02\x00\x01", "\x16\x03\x01\x00\x20\x01\r\n\r\n"].entries()) {
      const rig = create({ dependencies: { logger: log.logger } });
      rig.socket.send(hello);
      expect(rig.socket.take()).toMatch(/^HTTP\/1.1 400 .*tls to a port without it/s);
      expect(rig.socket.calls).toEqual(["close"]);
      const line = await log.line("client uses tls, but this port doesn't", index);
      expect(line["client-ip"]).toBe("192.0.2.1");
    }
  });

  it("that make a head invalid are refused at once", () => {
    const rig = create();
    rig.socket.send("GET / HTTP/1.1\r\nHost: e.test");
    rig.socket.send("\rX");
    expect(statusOf(rig.socket.take())).toBe("400");
    expect(rig.socket.calls).toEqual(["close"]);
  });

  it("don't time out as a head while the client doesn't read responses", () => {
    const rig = create({ http: { readHeaderTimeoutMs: 1_000, writeTimeoutMs: 0 } });
    rig.socket.stalled = true;
    rig.socket.send(OPTIONS);
    rig.socket.out.flush();
    rig.socket.send(OPTIONS);
    rig.clock.advance(10_000);
    expect([rig.hits, rig.socket.calls]).toEqual([[], []]);
    rig.socket.drain();
    expect(count(rig.socket.take(), "200 OK")).toBe(2);
  });

  it("are dropped when memory is short, and the response is the last one", () => {
    const rig = create({ maxBytes: 100 });
    rig.socket.send(GET);
    rig.budget.used += 200;
    rig.socket.send(GET.repeat(200));
    // Bytes that a paused socket still delivers are dropped as well, but not counted again.
    rig.socket.send(GET.repeat(200));
    expect(rig.hits).toEqual(["max_buffered_bytes"]);
    rig.stream.deliver(OK);
    expect(rig.socket.take()).toMatch(/connection: close/i);
    expect([rig.asked, rig.socket.calls]).toEqual([1, ["close"]]);
    rig.budget.used -= 200;
  });
});
