// A service on bare sockets that records every byte that reaches it, and reads requests strictly: anything that a strict
// reader would refuse is a violation, whatever the proxy made of it.

import type { Socket } from "node:net";
import { eventually } from "../../harness/deadline.js";
import { type RawService, startRawService } from "../../harness/raw-service.js";
import type { Stage } from "../../harness/stage.js";
import type { ServiceAnswer } from "./corpus.js";

const OK: ServiceAnswer = {
  bytes: Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
  end: false,
  early: false,
  dropped: false,
  whole: false,
};
/** The test's own requests, which have their own answers and aren't recorded. */
const OWN_TARGET = /^GET (\/(?:next|probe)\/\d+) /;
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} (\/|\*)[\x21-\x7e]* HTTP\/1\.1$/;

/** Splits an answer into the pieces that are sent. */
export type Split = (bytes: Buffer) => readonly Buffer[];

export class Recorder {
  /** Complete requests, in the order in which they were completed. */
  requests: string[] = [];
  /** What the service received that no strict reader accepts. */
  violations: string[] = [];
  /** Bytes after a 101. */
  raw = "";
  answer: ServiceAnswer = OK;
  split: Split = (bytes) => [bytes];
  /** Connections with an incomplete request. */
  readonly #partial = new Map<Socket, string>();
  /** Connections on which a case was answered. */
  #answered = new Set<Socket>();
  #service: RawService | undefined;

  static async start(stage: Stage): Promise<Recorder> {
    const recorder = new Recorder();
    recorder.#service = await startRawService(stage, (socket) => recorder.#serve(socket));
    return recorder;
  }

  get addr(): string {
    return this.#service?.addr ?? "";
  }

  /** Parts of requests whose rest hasn't arrived. */
  get partial(): readonly string[] {
    return [...this.#partial.values()];
  }

  /** Resets everything for the next case. */
  reset(answer: ServiceAnswer | undefined, split: Split): void {
    this.requests = [];
    this.violations = [];
    this.raw = "";
    this.#answered = new Set();
    this.answer = answer ?? OK;
    this.split = split;
  }

  /** Waits until the agent has ended every connection on which a case was answered. */
  async dropped(): Promise<void> {
    await eventually(
      () => [...this.#answered].every((socket) => socket.closed),
      "end of the service connection",
    );
  }

  #serve(socket: Socket): void {
    let bytes = "";
    let upgraded = false;
    let answered = false;
    socket.on("data", (piece: Buffer) => {
      if (upgraded) {
        this.raw += piece.toString("latin1");
        return;
      }
      bytes += piece.toString("latin1");
      for (;;) {
        const end = this.#endOfRequest(bytes);
        if (end === undefined) break;
        const request = bytes.slice(0, end);
        bytes = bytes.slice(end);
        const own = OWN_TARGET.exec(request)?.[1];
        if (own !== undefined) {
          socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${own.length}\r\n\r\n${own}`);
          continue;
        }
        this.requests.push(request);
        upgraded = this.answer.bytes.subarray(0, 12).toString("latin1") === "HTTP/1.1 101";
        if (!this.answer.early) void this.#respond(socket);
      }
      if (bytes === "") this.#partial.delete(socket);
      else this.#partial.set(socket, bytes);
      if (this.answer.early && !answered && bytes.includes("\r\n\r\n")) {
        answered = true;
        void this.#respond(socket);
      }
    });
    socket.on("end", () => socket.end());
    socket.on("close", () => this.#partial.delete(socket));
  }

  async #respond(socket: Socket): Promise<void> {
    const { bytes, end } = this.answer;
    this.#answered.add(socket);
    for (const piece of this.split(bytes)) {
      if (socket.destroyed) return;
      await new Promise<void>((resolve) => socket.write(piece, () => setImmediate(resolve)));
    }
    if (end) socket.end();
  }

  /** Where the request at the start of `bytes` ends; undefined if it is incomplete. */
  #endOfRequest(bytes: string): number | undefined {
    const headEnd = bytes.indexOf("\r\n\r\n");
    if (headEnd < 0) return undefined;
    const [line = "", ...lines] = bytes.slice(0, headEnd).split("\r\n");
    if (!REQUEST_LINE.test(line)) this.#violate(`request line ${JSON.stringify(line)}`);
    const values = new Map<string, string[]>();
    for (const each of lines) {
      const match = FIELD_LINE.exec(each);
      if (match === null) this.#violate(`field line ${JSON.stringify(each)}`);
      const name = (match?.[1] ?? "").toLowerCase();
      values.set(name, [...(values.get(name) ?? []), match?.[2] ?? ""]);
    }
    const lengths = values.get("content-length") ?? [];
    const encodings = values.get("transfer-encoding") ?? [];
    if (values.get("host")?.length !== 1) this.#violate(`host fields: ${values.get("host")?.length ?? 0}`);
    if (lengths.length + encodings.length > 1) this.#violate("more than one framing field");
    const bodyStart = headEnd + 4;
    if (encodings.length > 0) {
      if (encodings[0] !== "chunked") this.#violate(`transfer-encoding ${encodings[0]}`);
      return this.#endOfChunks(bytes, bodyStart);
    }
    if (lengths[0] !== undefined && !/^\d{1,20}$/.test(lengths[0]))
      this.#violate(`content-length ${lengths[0]}`);
    const end = bodyStart + Number(lengths[0] ?? 0);
    return bytes.length < end ? undefined : end;
  }

  #endOfChunks(bytes: string, start: number): number | undefined {
    for (let at = start; ; ) {
      const lineEnd = bytes.indexOf("\r\n", at);
      if (lineEnd < 0) return undefined;
      const line = bytes.slice(at, lineEnd);
      const size = /^([0-9a-fA-F]{1,16})(;[^\r\n]*)?$/.exec(line);
      if (size === null) {
        this.#violate(`chunk line ${JSON.stringify(line)}`);
        return bytes.length;
      }
      const length = Number.parseInt(size[1] ?? "", 16);
      if (length === 0) return this.#endOfTrailers(bytes, lineEnd + 2);
      at = lineEnd + 2 + length + 2;
      if (bytes.length < at) return undefined;
      if (bytes.slice(at - 2, at) !== "\r\n") this.#violate("no line end behind a chunk");
    }
  }

  #endOfTrailers(bytes: string, start: number): number | undefined {
    for (let at = start; ; ) {
      const lineEnd = bytes.indexOf("\r\n", at);
      if (lineEnd < 0) return undefined;
      if (lineEnd === at) return at + 2;
      const line = bytes.slice(at, lineEnd);
      if (!FIELD_LINE.test(line)) this.#violate(`trailer ${JSON.stringify(line)}`);
      at = lineEnd + 2;
    }
  }

  #violate(what: string): void {
    this.violations.push(what);
  }
}
