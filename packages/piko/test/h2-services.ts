// Services that speak HTTP/2: one on `node:http2`, and one made of frames, which answers whatever a test wants.

import { once } from "node:events";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { HpackDecoder } from "../src/http/h2/hpack-decoder.js";
import type { RawService, Fixtures } from "./agent-rig.js";
import { ACK, END_HEADERS, frame, type Frame, HEADERS, PREFACE, SETTINGS, settings } from "./h2-peer.js";

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** A `node:http2` server; `onStream` decides what it does. */
export class H2Service {
  readonly server: Http2Server | Http2SecureServer;
  readonly sessions: ServerHttp2Session[] = [];

  private constructor(server: Http2Server | Http2SecureServer, onStream: OnStream) {
    this.server = server;
    server.on("session", (session: ServerHttp2Session) => this.sessions.push(session));
    server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      stream.on("error", () => {});
      onStream(stream, headers);
    });
  }

  static async start(fixtures: Fixtures, onStream: OnStream, own: Settings = {}): Promise<H2Service> {
    return await new H2Service(createServer({ settings: own }), onStream).#listen(fixtures);
  }

  static async startSecure(
    fixtures: Fixtures,
    options: SecureServerOptions,
    onStream: OnStream,
  ): Promise<H2Service> {
    return await new H2Service(createSecureServer(options), onStream).#listen(fixtures);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions) session.destroy();
    const closed = once(this.server, "close");
    this.server.close();
    await closed;
  }

  async #listen(fixtures: Fixtures): Promise<this> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return fixtures.add(this);
  }
}

/** A request's head as read by the service made of frames. */
export interface SeenRequest {
  readonly streamId: number;
  readonly fields: Record<string, string>;
}

/** One connection of the service made of frames. */
export class FrameService {
  readonly socket: Socket;
  /** All frames received, in order. */
  readonly frames: Frame[] = [];
  readonly requests: SeenRequest[] = [];
  #bytes = Buffer.alloc(0);
  #preface = PREFACE.length;
  readonly #decoder = new HpackDecoder(4_096);
  #waiters: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (data) => this.#take(data));
  }

  /** Resolves with connection number `index` of a raw service, once its settings have arrived. */
  static async of(service: RawService, index: number): Promise<FrameService> {
    const peer = new FrameService(await service.connection(index));
    return peer.send(frame(SETTINGS, 0, 0, settings()), frame(SETTINGS, ACK, 0));
  }

  send(...frames: readonly string[]): this {
    this.socket.write(frames.join(""), "latin1");
    return this;
  }

  /** Resolves with request number `index` once it has arrived. */
  async request(index: number): Promise<SeenRequest> {
    await this.until(() => this.requests.length > index);
    return this.requests[index] as SeenRequest;
  }

  /** Resolves with the first frame of a type once it has arrived. */
  async frame(type: number): Promise<Frame> {
    await this.until(() => this.frames.some((each) => each.type === type));
    return this.frames.find((each) => each.type === type) as Frame;
  }

  async until(done: () => boolean): Promise<void> {
    while (!done()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #take(data: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, data]);
    const skipped = Math.min(this.#preface, this.#bytes.length);
    this.#preface -= skipped;
    this.#bytes = this.#bytes.subarray(skipped);
    for (;;) {
      const length = this.#bytes.length < 9 ? Number.POSITIVE_INFINITY : 9 + this.#bytes.readUIntBE(0, 3);
      if (this.#bytes.length < length) break;
      this.#onFrame(this.#bytes.subarray(0, length));
      this.#bytes = this.#bytes.subarray(length);
    }
    for (const wake of this.#waiters.splice(0)) wake();
  }

  #onFrame(bytes: Buffer): void {
    const type = bytes[3] ?? 0;
    const flags = bytes[4] ?? 0;
    const streamId = bytes.readUInt32BE(5);
    this.frames.push({ type, flags, streamId, payload: bytes.toString("latin1", 9) });
    if (type !== HEADERS || (flags & END_HEADERS) === 0) return;
    const fields: Record<string, string> = {};
    this.#decoder.decode(bytes, 9, bytes.length, {
      onField(name, nameStart, nameEnd, value, valueStart, valueEnd) {
        fields[name.toString("latin1", nameStart, nameEnd)] = value.toString("latin1", valueStart, valueEnd);
      },
    });
    this.requests.push({ streamId, fields });
  }
}
