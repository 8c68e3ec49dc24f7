// Responses in every form, split at every byte, and which of them are refused.

import { describe, expect, it } from "vitest";
import { ByteBudget } from "../../net/byte-budget.js";
import { ResponseHead } from "../head.js";
import { type ResponseEvents, ResponseReader } from "./response-reader.js";

const MAX_HEAD_BYTES = 8_192;

class Recorder implements ResponseEvents {
  readonly events: string[] = [];
  readonly budget: ByteBudget;
  readonly reader: ResponseReader;
  switches = true;
  body = "";
  /** Bytes of interim heads, which count as unconsumed like those of a body. */
  informed = 0;
  /** Called with each event, after it was recorded. */
  onEvent: (event: string) => void = () => {};

  constructor(maxBytes = 100_000, method = "GET") {
    this.budget = new ByteBudget(maxBytes);
    const limits = { head: new ResponseHead(20), maxHeadBytes: MAX_HEAD_BYTES, budget: this.budget };
    this.reader = new ResponseReader(this, limits);
    this.reader.begin(method);
  }

  onInform(head: ResponseHead): void {
    this.informed += head.end - head.start;
    this.#note(`inform ${head.status}`);
  }

  onSwitch(head: ResponseHead): boolean {
    this.#note(`switch ${head.status}`);
    return this.switches;
  }

  onResponse(head: ResponseHead, last: boolean): void {
    this.#note(`response ${head.status}${last ? " last" : ""}`);
  }

  onResponseBody(buffer: Buffer, start: number, end: number): void {
    const text = buffer.toString("latin1", start, end);
    this.body += text;
    // However the body is split, it is recorded as one.
    if (this.events.at(-1)?.startsWith("body ") === true) this.events.push(`${this.events.pop()}${text}`);
    else this.events.push(`body ${text}`);
    this.onEvent("body");
  }

  onResponseEnd(trailers: Buffer | undefined): void {
    this.#note(trailers === undefined ? "end" : `end ${trailers.toString("latin1").trim()}`);
  }

  onBadResponse(why: { code: string }, detail: string): void {
    this.#note(`bad ${why.code}: ${detail}`);
  }

  /** Reads a text in pieces, each in memory that is overwritten afterwards; returns how many bytes were passed on. */
  read(text: string, ...cuts: number[]): number {
    let passedOn = 0;
    let at = 0;
    for (const cut of [...cuts, text.length]) {
      if (cut <= at) continue;
      const piece = Buffer.from(`..${text.slice(at, cut)}..`, "latin1");
      passedOn += this.reader.read(piece, 2, piece.length - 2);
      piece.fill(0x58);
      at = cut;
    }
    return passedOn;
  }

  #note(event: string): void {
    this.events.push(event);
    this.onEvent(event);
  }
}

interface Case {
  readonly title: string;
  readonly text: string;
  readonly events: string[];
  readonly persistent: boolean;
  readonly method?: string;
  /** The response only ends with the connection. */
  readonly closed?: boolean;
}

const CASES: Case[] = [
  {
    title: "a body of known length",
    text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    events: ["response 200", "body hello", "end"],
    persistent: true,
  },
  {
    title: "chunks and trailers",
    text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nX: 1\r\n\r\n",
    events: ["response 200", "body hello", "end X: 1"],
    persistent: true,
  },
  {
    title: "no chunk except the last",
    text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    events: ["response 200", "end"],
    persistent: true,
  },
  {
    title: "a body until the end of the connection",
    text: "HTTP/1.1 200 OK\r\n\r\nhello",
    events: ["response 200", "body hello", "end"],
    persistent: false,
    closed: true,
  },
  {
    title: "no body because of its length",
    text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    events: ["response 200 last"],
    persistent: true,
  },
  {
    title: "no body because of its status",
    text: "HTTP/1.1 204 No Content\r\n\r\n",
    events: ["response 204 last"],
    persistent: true,
  },
  {
    title: "no body because of its method, though one is announced",
    text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    method: "HEAD",
    events: ["response 200 last"],
    persistent: false,
  },
  {
    title: "no body because of its status, though chunks are announced",
    text: "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
    events: ["response 304 last"],
    persistent: false,
  },
  {
    title: "Connection: close",
    text: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    events: ["response 200", "body ok", "end"],
    persistent: false,
  },
  {
    title: "HTTP/1.0",
    text: "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    events: ["response 200", "body ok", "end"],
    persistent: false,
  },
  {
    title: "HTTP/1.0 with keep-alive",
    text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    events: ["response 200", "body ok", "end"],
    persistent: true,
  },
  {
    title: "interim responses before the final one",
    text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    events: ["inform 100", "inform 103", "response 200", "body ok", "end"],
    persistent: true,
  },
  {
    title: "a switch",
    text: "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nraw\r\nbytes",
    events: ["switch 101", "body raw\r\nbytes", "end"],
    persistent: false,
    closed: true,
  },
  {
    title: "a switch after an interim response",
    text: "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nraw",
    events: ["inform 102", "switch 101", "body raw", "end"],
    persistent: false,
    closed: true,
  },
];

describe("ResponseReader", () => {
  describe.each(CASES)("$title", ({ closed = false, events, method, persistent, text }) => {
    const check = (recorder: Recorder): void => {
      if (closed) expect(recorder.reader.finish()).toBe(true);
      expect(recorder.events).toEqual(events);
      expect(recorder.reader.persistent).toBe(persistent);
      expect(recorder.reader.finish()).toBe(false);
      expect(recorder.budget.used).toBe(0);
    };

    it("is the same when split at every byte", () => {
      for (let cut = 0; cut < text.length; cut++) {
        const recorder = new Recorder(undefined, method);
        const passedOn = recorder.read(text, cut);
        expect(passedOn).toBe(recorder.body.length + recorder.informed);
        check(recorder);
      }
    });

    it("is the same byte by byte", () => {
      const recorder = new Recorder(undefined, method);
      const passedOn = recorder.read(text, ...Array.from(text, (_, index) => index));
      expect(passedOn).toBe(recorder.body.length + recorder.informed);
      check(recorder);
    });

    it("is incomplete before its last byte", () => {
      for (let end = 0; end < text.length; end++) {
        const recorder = new Recorder(undefined, method);
        recorder.read(text.slice(0, end));
        if (closed && recorder.events.some((event) => /^(response|switch)/.test(event))) continue;
        expect(recorder.reader.finish()).toBe(false);
        recorder.reader.stop();
        expect(recorder.budget.used).toBe(0);
      }
    });
  });

  it.each(CASES.filter(({ closed }) => closed !== true))(
    "$title: bytes after the end make the connection unfit for reuse",
    ({ events, method, text }) => {
      for (const cut of [0, 5, text.length - 1]) {
        const recorder = new Recorder(undefined, method);
        recorder.read(`${text}HTTP/1.1 200 OK\r\n`, cut);
        expect(recorder.events).toEqual(events);
        expect(recorder.reader.persistent).toBe(false);
      }
    },
  );

  it("reports its progress", () => {
    const { reader, ...rest } = new Recorder();
    expect([reader.begun, reader.awaitingHead, reader.raw]).toEqual([false, true, false]);
    const read = (text: string): number => reader.read(Buffer.from(text), 0, text.length);
    read("HTTP/1.1 100 Continue\r\n\r\n");
    expect([reader.begun, reader.awaitingHead, reader.raw]).toEqual([true, true, false]);
    read("HTTP/1.1 101 X\r\n\r\n");
    expect([reader.begun, reader.awaitingHead, reader.raw]).toEqual([true, false, true]);
    reader.stop();
    expect(reader.raw).toBe(false);
    expect(read("raw")).toBe(0);
    expect(rest.events).toEqual(["inform 100", "switch 101"]);
  });

  it("reads nothing when no response is expected", () => {
    const recorder = new Recorder();
    recorder.read("HTTP/1.1 204 No Content\r\n\r\n");
    expect(recorder.read("HTTP/1.1 200 OK\r\n\r\n")).toBe(0);
    expect(recorder.events).toEqual(["response 204 last"]);
  });

  describe("an invalid response", () => {
    it.each([
      [
        "a head without a field name",
        "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        ["bad bad_response: invalid field name"],
      ],
      ["a line of another protocol", "SMTP ready\r\n\r\n", ["bad bad_response: invalid status line"]],
      [
        "a chunk without a size",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ["response 200", "bad bad_response: invalid chunk size"],
      ],
    ])("is refused, however it is split: %s", (_title, text, events) => {
      for (let cut = 0; cut < text.length; cut++) {
        const recorder = new Recorder();
        recorder.read(text, cut);
        // Whatever follows is ignored.
        recorder.read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        expect(recorder.events).toEqual(events);
        expect(recorder.reader.persistent).toBe(false);
        expect(recorder.budget.used).toBe(0);
      }
    });

    it("is a switch that its receiver rejects", () => {
      const recorder = new Recorder();
      recorder.switches = false;
      recorder.read("HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nraw");
      expect(recorder.events).toEqual([
        "switch 101",
        "bad bad_switch: upstream switched to a protocol that was not asked for",
      ]);
    });

    it("isn't reported if the receiver of a switch has already stopped the reader", () => {
      const recorder = new Recorder();
      recorder.switches = false;
      recorder.onEvent = () => recorder.reader.stop();
      recorder.read("HTTP/1.1 101 X\r\n\r\nraw");
      expect(recorder.events).toEqual(["switch 101"]);
    });

    it("is a head above its limit, in one read or many", () => {
      const long = `HTTP/1.1 200 OK\r\nX: ${"x".repeat(MAX_HEAD_BYTES)}\r\n\r\n`;
      const refused = [`bad head_too_large: response head above ${MAX_HEAD_BYTES} bytes`];
      for (const cuts of [[], [1_000], [MAX_HEAD_BYTES + 20], [10, 5_000, MAX_HEAD_BYTES + 10]]) {
        const recorder = new Recorder();
        recorder.read(long, ...cuts);
        expect(recorder.events).toEqual(refused);
        expect(recorder.budget.used).toBe(0);
      }
    });

    it("is a large part of a head when memory is short", () => {
      const recorder = new Recorder(100);
      recorder.read(`HTTP/1.1 200 OK\r\nX: ${"x".repeat(3_000)}`);
      expect(recorder.events).toEqual([]);
      recorder.read("x".repeat(2_000));
      expect(recorder.events).toEqual(["bad limit: too many bytes wait"]);
      expect(recorder.budget.used).toBe(0);
    });

    it("holds no memory, not even for trailers, after the reader is stopped", () => {
      const recorder = new Recorder();
      recorder.read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b");
      expect(recorder.budget.used).toBeGreaterThan(0);
      recorder.reader.stop();
      expect(recorder.budget.used).toBe(0);
    });

    it("isn't a small head, even when memory is short", () => {
      const recorder = new Recorder(100);
      recorder.read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 5, 17);
      expect(recorder.events).toEqual(["response 200 last"]);
    });
  });

  describe("an event of one response may begin the next", () => {
    const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const NONE = "HTTP/1.1 204 No Content\r\n\r\n";

    it.each([
      ["a body's end", OK, "end"],
      ["a head without a body", NONE, "response 204 last"],
    ])("at %s", (_title, text, event) => {
      for (let cut = 0; cut <= text.length; cut++) {
        const recorder = new Recorder();
        recorder.onEvent = (recorded) => {
          if (recorded === event) recorder.reader.begin("GET");
        };
        recorder.read(text, cut);
        const once = [...recorder.events];
        expect(recorder.reader.awaitingHead).toBe(true);
        recorder.read(text, cut);
        expect(recorder.events).toEqual([...once, ...once]);
      }
    });

    it("and the rest of the read isn't used for the next one", () => {
      for (const text of [OK, NONE]) {
        const recorder = new Recorder();
        recorder.onEvent = (recorded) => {
          if (recorded !== "end" && recorded !== "response 204 last") return;
          recorder.onEvent = () => {};
          recorder.reader.begin("GET");
        };
        recorder.read(`${text}HTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n`);
        expect(recorder.events.some((recorded) => recorded.includes("500"))).toBe(false);
        expect(recorder.reader.awaitingHead).toBe(true);
      }
    });
  });

  it("stops within a body when the body's receiver stops it", () => {
    for (const form of [
      "Content-Length: 4\r\n\r\nabcd",
      "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n",
    ]) {
      const recorder = new Recorder();
      recorder.onEvent = (event) => {
        if (event === "body") recorder.reader.stop();
      };
      recorder.read(`HTTP/1.1 200 OK\r\n${form}`);
      expect(recorder.events.includes("end")).toBe(false);
    }
  });

  it("stops between heads when the receiver of one stops it", () => {
    const recorder = new Recorder();
    recorder.onEvent = () => recorder.reader.stop();
    recorder.read("HTTP/1.1 103 X\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    expect(recorder.events).toEqual(["inform 103"]);
  });
});
