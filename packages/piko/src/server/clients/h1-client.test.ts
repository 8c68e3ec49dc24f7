// One client's connection with its exchange and a tunnel, all in memory: when requests begin, what ends the connection, and
// what is buffered.

import { describe, expect, it } from "vitest";
import type { NodeRigOptions } from "../../../test/node-rig.js";
import { GET, nodeRigs, OPTIONS, POST, statusOf, UPGRADE } from "../../../test/node-rigs.js";
import { STOP_IDLE_MS } from "./h1-client.js";

const CHUNKED = "POST /x HTTP/1.1\r\nHost: e.test\r\nTransfer-Encoding: chunked\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const create = nodeRigs();

const count = (text: string, part: string): number => text.split(part).length - 1;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("H1Client", () => {
  it("reads a request and writes its response, split at any byte", () => {
    const request = `${CHUNKED}3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n`;
    for (let cut = 1; cut < request.length; cut++) {
      const rig = create();
      rig.socket.send(request, cut);
      expect(rig.asked).toBe(1);
      expect(rig.stream.written).toContain("POST /x HTTP/1.1\r\n");
      expect(rig.stream.written.endsWith("0\r\n\r\n")).toBe(true);
      rig.stream.deliver(OK);
      const answer = rig.socket.take();
      expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n.*\r\n\r\nok$/s);
      expect(rig.socket.calls).toEqual([]);
      expect(rig.stream.calls).toEqual(["end later"]);
    }
  });

  it("handles pipelined requests one after another", () => {
    const rig = create();
    rig.socket.send(`${GET}${POST}body${GET}`);
    for (let asked = 1; asked <= 3; asked++) {
      expect(rig.asked).toBe(asked);
      rig.stream.deliver(OK);
    }
    expect(rig.asked).toBe(3);
    expect(count(rig.socket.take(), "200 OK")).toBe(3);
    expect(rig.statuses).toEqual({ "200": 3 });
  });

  it("begins at most 32 requests a turn", async () => {
    const rig = create();
    rig.socket.send(OPTIONS.repeat(80));
    expect(count(rig.socket.take(), "200 OK")).toBe(32);
    expect(rig.socket.paused).toBe(true);
    await turn();
    expect(count(rig.socket.take(), "200 OK")).toBe(32);
    await turn();
    expect(count(rig.socket.take(), "200 OK")).toBe(16);
    expect(rig.socket.paused).toBe(false);
  });

  it("begins no request while its client doesn't read responses", () => {
    const rig = create();
    rig.socket.stalled = true;
    rig.socket.send(OPTIONS);
    rig.socket.out.flush();
    rig.socket.send(OPTIONS.repeat(3));
    expect(rig.socket.paused).toBe(true);
    expect(count(rig.socket.take(), "200 OK")).toBe(1);
    rig.socket.drain();
    expect(count(rig.socket.take(), "200 OK")).toBe(3);
    expect(rig.socket.paused).toBe(false);
  });

  describe("keeps the connection", () => {
    it.each([
      ["after a request of HTTP/1.1", GET, OK, true],
      [
        "not after a request with Connection: close",
        GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"),
        OK,
        false,
      ],
      ["not after a request of HTTP/1.0", "GET /x HTTP/1.0\r\nHost: e.test\r\n\r\n", OK, false],
      [
        "after a request of HTTP/1.0 with Connection: keep-alive",
        "GET /x HTTP/1.0\r\nHost: e.test\r\nConnection: keep-alive\r\n\r\n",
        OK,
        true,
      ],
      ["not after a declined upgrade", UPGRADE, OK, false],
      ["not if the body of the request is incomplete", POST, OK, false],
      ["after a refused request", "GET /_piko/x HTTP/1.1\r\nHost: e.test\r\n\r\n", "", true],
      ["after a request without an endpoint", "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", "", true],
    ])("%s", (_title, request, response, kept) => {
      const rig = create();
      rig.socket.send(request);
      if (response !== "") rig.stream.deliver(response);
      expect(rig.socket.calls).toEqual(kept ? [] : ["close"]);
      expect(/connection: close/i.test(rig.socket.take())).toBe(!kept);
    });

    it("not if the node is stopping", () => {
      const rig = create();
      rig.context.closing = true;
      rig.socket.send(GET);
      rig.stream.deliver(OK);
      expect(rig.socket.calls).toEqual(["close"]);
      expect(rig.socket.take()).toMatch(/connection: close/i);
    });

    it("for a moment if the node drains after the response's head was sent", async () => {
      const rig = create();
      rig.socket.send(GET);
      rig.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
      rig.context.closing = true;
      rig.context.draining = true;
      rig.stream.deliver("ok");
      expect(rig.socket.take()).not.toMatch(/connection: close/i);
      expect(rig.socket.calls).toEqual([]);
      // The client sends another request at once, whose response says close.
      rig.socket.send(GET);
      rig.stream.deliver(OK);
      expect(rig.socket.take()).toMatch(/connection: close\r\n.*ok$/is);
      expect(rig.socket.calls).toEqual(["close"]);
    });

    it("while the node drains, only for requests that have already arrived", () => {
      const rig = create();
      rig.socket.send(GET + GET);
      rig.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
      rig.context.closing = true;
      rig.context.draining = true;
      rig.stream.deliver("ok");
      expect(rig.asked).toBe(2);
      rig.stream.deliver(OK);
      expect(rig.socket.calls).toEqual(["close"]);
    });

    it("not when it is idle for a moment and the node is stopping", async () => {
      const idle = create();
      idle.clock.advance(STOP_IDLE_MS);
      idle.connection.stop();
      expect(idle.socket.calls).toEqual(["close"]);
      const fresh = create();
      fresh.connection.stop();
      fresh.clock.advance(STOP_IDLE_MS - 1);
      expect(fresh.socket.calls).toEqual([]);
      fresh.clock.advance(1);
      await turn();
      expect(fresh.socket.calls).toEqual(["destroy"]);
      const busy = create();
      busy.socket.send(GET);
      busy.connection.stop();
      expect(busy.socket.calls).toEqual([]);
    });

    it("not if the client's certificate is no longer accepted, except for a request in progress", () => {
      for (const sent of ["", "GET / HT"]) {
        const idle = create();
        idle.socket.send(sent);
        idle.connection.retire();
        expect(idle.socket.calls).toEqual(["close"]);
      }
      const busy = create();
      busy.socket.send(GET + GET);
      busy.connection.retire();
      expect(busy.socket.calls).toEqual([]);
      busy.stream.deliver(OK);
      expect(busy.socket.take()).toMatch(/^HTTP\/1.1 200 OK.*connection: close/is);
      expect([busy.asked, busy.socket.calls]).toEqual([1, ["close"]]);
    });
  });

  describe("frames a body of unknown length", () => {
    const CHUNKS = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n";

    it("with chunks, with its trailers", () => {
      const rig = create();
      rig.socket.send(GET);
      rig.stream.deliver(CHUNKS);
      expect(rig.socket.take()).toMatch(/\r\n\r\n2\r\nok\r\n0\r\nX: 1\r\n\r\n$/);
    });

    it("by the end of the connection for HTTP/1.0, and cuts it by a reset", () => {
      for (const whole of [true, false]) {
        const rig = create();
        rig.socket.send("GET /x HTTP/1.0\r\nHost: e.test\r\nConnection: keep-alive\r\n\r\n");
        rig.stream.deliver(whole ? CHUNKS : CHUNKS.slice(0, -12));
        if (!whole) rig.stream.handler.onReset();
        const answer = rig.socket.take();
        expect(answer.endsWith("\r\n\r\nok")).toBe(true);
        expect(answer).not.toMatch(/transfer-encoding/i);
        expect(rig.socket.calls).toEqual([whole ? "close" : "reset"]);
      }
    });

    it("without a last chunk if it is cut", () => {
      const rig = create();
      rig.socket.send(GET);
      rig.stream.deliver(CHUNKS.slice(0, -12));
      rig.stream.handler.onReset();
      expect(rig.socket.take().endsWith("2\r\nok\r\n")).toBe(true);
      expect(rig.socket.calls).toEqual(["close"]);
    });
  });

  it("passes on interim responses, but not to HTTP/1.0", () => {
    for (const [version, informed] of [
      ["1.1", 1],
      ["1.0", 0],
    ] as const) {
      const rig = create();
      rig.socket.send(`GET /x HTTP/${version}\r\nHost: e.test\r\n\r\n`);
      rig.stream.deliver(`HTTP/1.1 103 Early Hints\r\nLink: y\r\n\r\n${OK}`);
      expect(count(rig.socket.take(), "103 Early Hints")).toBe(informed);
    }
  });

  it("answers HEAD without a body", () => {
    const rig = create();
    rig.socket.send("HEAD /_piko HTTP/1.1\r\nHost: e.test\r\n\r\n");
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 404 .*Content-Length: [1-9]\d*\r\n.*\r\n\r\n$/is);
  });

  describe("refuses", () => {
    const long = "x".repeat(3_000);
    it.each<[string, string, string, NodeRigOptions, string[]]>([
      ["bytes that aren't a request", "nonsense\r\n\r\n", "400", {}, []],
      ["a head that more bytes can't make valid", "GET / HTTP/1.1\r\nbad name: x\r\n", "400", {}, []],
      [
        "a long target, before its end",
        `GET /${long}`,
        "414",
        { limits: { maxTargetBytes: 1_000 } },
        ["max_target_bytes"],
      ],
      [
        "a long target",
        `GET /${long} HTTP/1.1\r\nHost: e.test\r\n\r\n`,
        "414",
        { limits: { maxTargetBytes: 1_000 } },
        ["max_target_bytes"],
      ],
      [
        "a long head, before its end",
        `GET / HTTP/1.1\r\nX: ${long}`,
        "431",
        { http: { maxHeaderBytes: 1_024 } },
        ["max_header_bytes"],
      ],
      [
        "a long head",
        `GET / HTTP/1.1\r\nHost: e.test\r\nX: ${long}\r\n\r\n`,
        "431",
        { http: { maxHeaderBytes: 1_024 } },
        ["max_header_bytes"],
      ],
      [
        "a part of a head when memory is short",
        `GET / HTTP/1.1\r\nX: ${long}${long}`,
        "503",
        { maxBytes: 100 },
        ["max_buffered_bytes"],
      ],
      [
        "a body that is announced as too long",
        POST,
        "413",
        { limits: { maxBodyBytes: 3 } },
        ["max_body_bytes"],
      ],
      [
        "a body that becomes too long",
        `${CHUNKED}5\r\nabcde\r\n`,
        "413",
        { limits: { maxBodyBytes: 3 } },
        ["max_body_bytes"],
      ],
      ["an invalid body", `${CHUNKED}zz\r\n`, "400", {}, []],
    ])("%s", (_title, text, status, options, hits) => {
      const rig = create(options);
      rig.socket.send(text);
      expect(statusOf(rig.socket.take())).toBe(status);
      expect(rig.hits).toEqual(hits);
      expect(rig.socket.calls).toEqual(["close"]);
      // Further requests are dropped.
      rig.socket.send(GET);
      expect(rig.socket.take()).toBe("");
    });

    it("the part of a body above the limit", () => {
      const rig = create({ limits: { maxBodyBytes: 3 } });
      rig.socket.send(`${CHUNKED}3\r\nabc\r\n`);
      expect(rig.stream.written).toContain("abc");
      rig.socket.send("2\r\nde\r\n");
      expect(rig.stream.written).not.toContain("de\r\n");
      expect(rig.stream.calls).toEqual(["reset"]);
    });
  });

  it("counts the memory of incomplete trailers, close to their size", () => {
    for (const [bytes, min, max] of [
      [1, 1, 1_024],
      [5_000, 5_000, 8_192],
    ] as const) {
      const rig = create();
      rig.socket.send(`${CHUNKED}0\r\n`);
      const before = rig.budget.used;
      rig.socket.send("A".repeat(bytes));
      expect(rig.budget.used - before).toBeGreaterThanOrEqual(min);
      expect(rig.budget.used - before).toBeLessThanOrEqual(max);
    }
  });

  it("holds a client back while the tunnel has no room for its body", () => {
    const rig = create();
    rig.socket.send(POST);
    rig.stream.room = 1;
    rig.socket.send("ab");
    expect([rig.socket.paused, rig.stream.written.endsWith("\r\n\r\na")]).toEqual([true, true]);
    rig.stream.makeRoom();
    expect([rig.socket.paused, rig.stream.written.endsWith("ab")]).toEqual([false, true]);
    rig.socket.send("cd");
    rig.stream.deliver(OK);
    expect(rig.socket.calls).toEqual([]);
  });

  it("reads on only when the tunnel has taken all of the received body", () => {
    const rig = create();
    rig.socket.send(CHUNKED);
    rig.stream.room = 8;
    rig.socket.send("1\r\na\r\n8\r\nbcdefghi\r\n");
    expect(rig.socket.paused).toBe(true);
    rig.stream.makeRoom(4);
    expect(rig.socket.paused).toBe(true);
    rig.stream.makeRoom();
    expect(rig.socket.paused).toBe(false);
  });

  it("refuses a body when memory is short", () => {
    const rig = create({ maxBytes: 100 });
    rig.socket.send(CHUNKED);
    rig.budget.used += 200;
    rig.stream.room = 0;
    rig.socket.send("1\r\na\r\n1\r\nb\r\n");
    rig.budget.used -= 200;
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 503 .*Retry-After: 1\r\n.*server is busy/s);
    expect([rig.stream.calls, rig.socket.calls]).toEqual([["reset"], ["close"]]);
  });

  it("keeps the date of a response that has one", () => {
    for (const date of ["", "Date: then\r\n"]) {
      const rig = create();
      rig.socket.send(GET);
      rig.stream.deliver(OK.replace("\r\n\r\n", `\r\n${date}\r\n`));
      expect(rig.socket.take().match(/^date:.*$/gim)).toEqual([`Date: ${date === "" ? "now" : "then"}`]);
    }
  });

  it("holds an agent back while the client doesn't read the response", () => {
    const rig = create();
    rig.socket.send(GET);
    rig.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    rig.socket.stalled = true;
    rig.socket.out.flush();
    const before = rig.stream.consumed;
    rig.stream.deliver("def");
    expect(rig.stream.consumed).toBe(before);
    rig.socket.drain();
    expect(rig.stream.consumed).toBe(before + 3);
    rig.stream.deliver("ghi");
    expect(rig.socket.take().endsWith("abcdefghi")).toBe(true);
  });
});
