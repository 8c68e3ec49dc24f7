// A yamux session over a byte stream: streams, pings, GoAway, and every rule of which a breach ends the session.
// Compatible with hashicorp/yamux and its forks; a mistake of ours ends a Go peer for good, so what is sent is strict.

import type { Clock, Timer } from "../clock.js";
import { TunnelError } from "../errors.js";
import type { Outbox } from "../socket/outbox.js";
import {
  ACCEPT_BACKLOG,
  FLAG_ACK,
  FLAG_FIN,
  FLAG_RST,
  FLAG_SYN,
  GO_AWAY_INTERNAL_ERROR,
  GO_AWAY_NORMAL,
  GO_AWAY_PROTOCOL_ERROR,
  HEADER_BYTES,
  TYPE_DATA,
  TYPE_GO_AWAY,
  TYPE_PING,
  TYPE_WINDOW_UPDATE,
  VERSION,
  writeHeader,
} from "./frame.js";
import { type YamuxFrameHandler, YamuxFrameReader } from "./frame-reader.js";
import { type StreamHandler, YamuxStream } from "./stream.js";

/** What the owner of a session is told. */
export interface SessionHandler {
  /** The peer opened a stream; return its handler, or undefined to refuse it (RST). */
  onStream(stream: YamuxStream): StreamHandler | undefined;
  /** GoAway(0): the peer accepts no new streams; those under way go on. Or: stream ids run out, open a new session. */
  onGoAway(): void;
  /** The last stream is over, or the socket has drained while none is open. Look again later: more may come at once. */
  onIdle?(): void;
  /** The session has ended: it takes nothing and brings nothing any more. Its streams are told next. Exactly once. */
  onEnded?(): void;
  /** The session has to end for `error`: every stream was told; the owner closes the transport. Exactly once. */
  onFailed(error: TunnelError): void;
}

export interface SessionOptions {
  /** Clients open streams with odd ids, servers with even ones. In Piko the server process is "server". */
  role: "client" | "server";
  out: Outbox;
  clock: Clock;
  handler: SessionHandler;
  /** Milliseconds from one ping to the next; more than the timeout. */
  keepAliveIntervalMs?: number;
  /** Milliseconds that a ping's answer may take. */
  keepAliveTimeoutMs?: number;
  /** The peer goes on sending behind our FIN; Go peers close the stream then, and complain of frames that come later. */
  peerHalfCloses?: boolean;
  /** Most streams at a time that the peer may open. */
  maxPeerStreams?: number;
  /** Id of the first stream of ours, of the role's parity. */
  firstStreamId?: number;
}

export const KEEP_ALIVE_INTERVAL_MS = 30_000;
export const KEEP_ALIVE_TIMEOUT_MS = 10_000;
/** A peer that leaves a stream unaccepted this long is stuck (the same bound as in Go, which ends the session too). */
export const OPEN_TIMEOUT_MS = 75_000;
/** Streams that wait for the peer to accept earlier ones, beyond the 256 that are on the wire. */
export const MAX_QUEUED_STREAMS = 1_024;
const MAX_PEER_STREAMS = 16_384;
const MAX_STREAM_ID = 0xffff_fffe;
/** From here on a session looks for a good moment to be replaced: at 50,000 streams a second ids last twelve hours. */
const RETIRE_FROM_STREAM_ID = 0xe000_0000;
/** Answers to pings and refused streams that the peer doesn't read: the session ends at this many bytes. */
const MAX_ANSWER_BACKLOG_BYTES = 4 * 1024 * 1024;
/** What a stream sends in its turn while others wait for the socket too. */
const SHARE_BYTES = 64 * 1024;
/** What may wait for a congested socket ahead of the streams that it has stopped. */
const MAX_PASSING_BACKLOG_BYTES = 512 * 1024;

export class YamuxSession implements YamuxFrameHandler {
  readonly peerHalfCloses: boolean;
  readonly #out: Outbox;
  readonly #clock: Clock;
  readonly #handler: SessionHandler;
  readonly #isClient: boolean;
  readonly #reader: YamuxFrameReader;
  readonly #streams = new Map<number, YamuxStream>();
  readonly #keepAliveIntervalMs: number;
  readonly #keepAliveTimeoutMs: number;
  readonly #maxPeerStreams: number;
  #nextId: number;
  #peerStreams = 0;
  #queued: YamuxStream[] = [];
  #waiting: YamuxStream[] = [];
  #congestions = 0;
  /** `drained` is at it, and what the stream whose turn it is may still send of its share. */
  #draining = false;
  #shareBytes = 0;
  /** Streams on the wire that the peer has not accepted, since when they wait, and whether it has accepted others since. */
  #unacknowledged = 0;
  #unacknowledgedSinceMs = 0;
  #acknowledgedOthers = false;
  /** The stream of the data frame whose payload is being received, and whether FIN came on that frame. */
  #receiving: YamuxStream | undefined;
  #finBehindPayload = false;
  #timer: Timer | undefined;
  #pingId = 0;
  #pingSent = false;
  #heardSincePing = false;
  #localGoAway = false;
  #remoteGoAway = false;
  #retiring = false;
  #ended = false;

  constructor(options: SessionOptions) {
    this.peerHalfCloses = options.peerHalfCloses ?? true;
    this.#out = options.out;
    this.#clock = options.clock;
    this.#handler = options.handler;
    this.#isClient = options.role === "client";
    this.#nextId = options.firstStreamId ?? (this.#isClient ? 1 : 2);
    this.#keepAliveIntervalMs = options.keepAliveIntervalMs ?? KEEP_ALIVE_INTERVAL_MS;
    this.#keepAliveTimeoutMs = options.keepAliveTimeoutMs ?? KEEP_ALIVE_TIMEOUT_MS;
    this.#maxPeerStreams = options.maxPeerStreams ?? MAX_PEER_STREAMS;
    this.#reader = new YamuxFrameReader(this);
    this.#scheduleKeepAlive(this.#keepAliveIntervalMs);
  }

  /** Streams that are open or waiting to be. */
  get streamCount(): number {
    return this.#streams.size + this.#queued.length;
  }

  /** New streams can be opened: the peer has not said GoAway, the queue of waiting ones has room, and ids are left. */
  get accepting(): boolean {
    if (this.#ended || this.#remoteGoAway || this.#queued.length >= MAX_QUEUED_STREAMS) return false;
    return this.#nextId + 2 * this.#queued.length <= MAX_STREAM_ID;
  }

  /** The peer has said that it accepts no new streams. */
  get remoteGoAway(): boolean {
    return this.#remoteGoAway;
  }

  /** The socket is behind, or it is another stream's turn: streams should hold what they can. */
  get congested(): boolean {
    return this.#out.congested || (this.#draining && this.#shareBytes <= 0);
  }

  /** For streams: small writes may still go ahead of the streams that wait for the socket. */
  get passable(): boolean {
    return this.#out.pendingBytes <= MAX_PASSING_BACKLOG_BYTES;
  }

  /** For streams: a number that changes when the socket has drained. */
  get congestions(): number {
    return this.#congestions;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Opens a stream; bytes can be written at once. Undefined when the session isn't `accepting`. Beyond 256 streams that the
   * peer has not accepted, a stream waits for its turn: `write` takes nothing until `onWritable`. The peer learns of the
   * stream with its first bytes; call `flushFlags` if the peer may be the first to speak.
   */
  openStream(handler: StreamHandler): YamuxStream | undefined {
    if (!this.accepting) return undefined;
    const stream = new YamuxStream(this, 0, handler);
    if (this.#unacknowledged >= ACCEPT_BACKLOG) this.#queued.push(stream);
    else this.#activate(stream);
    return stream;
  }

  /** Bytes from the transport. Returns how many frames began in them. */
  receive(buffer: Buffer, start: number, end: number): number {
    this.#heardSincePing = true;
    const reader = this.#reader;
    reader.frames = 0;
    reader.read(buffer, start, end);
    return reader.frames;
  }

  /**
   * The transport drained: blocked streams go on, in the order in which they were stopped, until it is congested again.
   * Small writes went ahead of them already, see `YamuxStream`.
   * Each sends its share, then queues behind the others, so that no stream keeps them from sending.
   */
  drained(): void {
    this.#congestions++;
    const waiting = this.#waiting;
    let served = 0;
    this.#draining = true;
    // Grows at its end meanwhile, by the streams that have more than their share; windows are finite.
    while (served < waiting.length && !this.#out.congested && !this.#ended) {
      this.#shareBytes = SHARE_BYTES;
      (waiting[served++] as YamuxStream).resume();
    }
    this.#draining = false;
    waiting.splice(0, served);
    if (this.streamCount === 0 && !this.#ended) this.#handler.onIdle?.();
  }

  /** Tells the peer to open no more streams (GoAway 0), or that the session is lost (1, 2). */
  goAway(code: number = GO_AWAY_NORMAL): void {
    if (this.#ended || (this.#localGoAway && code === GO_AWAY_NORMAL)) return;
    this.#localGoAway = true;
    this.#sendHeader(TYPE_GO_AWAY, 0, 0, code);
  }

  /** Ends the session on our side: all streams are lost, nothing is sent or read any more. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reader.stop();
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const streams = [...this.#streams.values(), ...this.#queued];
    this.#streams.clear();
    this.#queued = [];
    this.#waiting = [];
    this.#receiving = undefined;
    this.#handler.onEnded?.();
    for (const stream of streams) stream.lose();
  }

  onFrame(version: number, type: number, flags: number, streamId: number, length: number): boolean {
    if (version !== VERSION) return this.#protocolError(`version ${version}`);
    switch (type) {
      case TYPE_DATA:
      case TYPE_WINDOW_UPDATE:
        return this.#onStreamFrame(type, flags, streamId, length);
      case TYPE_PING:
        // Without SYN it is an answer; that it came is enough, see #keepAlive.
        if ((flags & FLAG_SYN) === 0) return true;
        if (!this.#answerable()) return false;
        this.#sendHeader(TYPE_PING, FLAG_ACK, 0, length);
        return true;
      case TYPE_GO_AWAY:
        return this.#onGoAway(length);
      default:
        return this.#protocolError(`frame type ${type}`);
    }
  }

  onPayload(buffer: Buffer, start: number, end: number, last: boolean): void {
    const stream = this.#receiving;
    // A stream that is gone here may still be sent to for a round trip: what comes is dropped, as is all behind a FIN.
    if (stream === undefined || stream.closed) return;
    if (stream.remoteEnded) {
      if (last && this.#finBehindPayload) this.#end(stream);
      return;
    }
    stream.handler.onData(buffer, start, end);
    if (last && this.#finBehindPayload) this.#end(stream);
  }

  /** For streams: a data frame. */
  sendData(streamId: number, flags: number, buffer: Buffer, start: number, end: number): void {
    if (this.#draining) this.#shareBytes -= end - start;
    this.#sendHeader(TYPE_DATA, flags, streamId, end - start);
    this.#out.write(buffer, start, end);
  }

  /** For streams: window, and every flag that has no data to ride on. `later`: nobody waits for it. */
  sendWindowUpdate(streamId: number, flags: number, delta: number, later = false): void {
    this.#sendHeader(TYPE_WINDOW_UPDATE, flags, streamId, delta, later);
  }

  /** For streams: call `resume` when the socket has drained. */
  waitForDrain(stream: YamuxStream): void {
    this.#waiting.push(stream);
  }

  /** For streams: the stream is over. */
  forget(stream: YamuxStream): void {
    if (stream.id === 0) {
      const at = this.#queued.indexOf(stream);
      if (at >= 0) this.#queued.splice(at, 1);
      return;
    }
    if (!this.#streams.delete(stream.id)) return;
    if (this.#isPeers(stream.id)) this.#peerStreams--;
    // What will never be accepted must not hold up the queue.
    if (stream.acknowledge()) this.#acknowledged();
    if (this.#streams.size === 0 && !this.#ended) this.#handler.onIdle?.();
  }

  #onStreamFrame(type: number, flags: number, streamId: number, length: number): boolean {
    let stream = this.#streams.get(streamId);
    if ((flags & FLAG_SYN) !== 0) {
      if (stream !== undefined) return this.#protocolError(`second SYN for stream ${streamId}`);
      stream = this.#onSyn(streamId);
      if (this.#ended) return false;
    }
    this.#receiving = type === TYPE_DATA ? stream : undefined;
    this.#finBehindPayload = false;
    if (stream === undefined) return true;
    if ((flags & FLAG_ACK) !== 0 && stream.acknowledge()) this.#acknowledged();
    if ((flags & FLAG_RST) !== 0) {
      this.#receiving = undefined;
      stream.lose();
      this.forget(stream);
      return !this.#ended;
    }
    if (type === TYPE_WINDOW_UPDATE) {
      if (length > 0) stream.grow(length);
    } else if (!stream.receiveFrame(length)) {
      this.#fail(
        new TunnelError(
          "PIKO_YAMUX_WINDOW_EXCEEDED",
          `yamux: stream ${streamId}: ${length} bytes above the window`,
        ),
      );
      return false;
    }
    if ((flags & FLAG_FIN) !== 0) {
      if (type === TYPE_DATA && length > 0) this.#finBehindPayload = true;
      else return this.#end(stream);
    }
    return !this.#ended;
  }

  #onSyn(streamId: number): YamuxStream | undefined {
    // Ids may come out of order: Go takes an id first and sends the SYN later, from several goroutines.
    if (!this.#isPeers(streamId)) {
      this.#protocolError(`SYN for stream ${streamId}, which is not the peer's to open`);
      return undefined;
    }
    if (!this.#answerable()) return undefined;
    if (!this.#localGoAway && this.#peerStreams < this.#maxPeerStreams) {
      const stream = new YamuxStream(this, streamId, REFUSED);
      // Registered before the owner sees it, because the owner may end or reset it at once.
      this.#streams.set(streamId, stream);
      this.#peerStreams++;
      stream.activate(streamId, FLAG_ACK, false);
      const handler = this.#handler.onStream(stream);
      if (handler !== undefined) {
        stream.handler = handler;
        if (this.#ended) handler.onReset();
        if (stream.closed) return undefined;
        // The ACK doesn't wait for the first data, because the peer may have 256 streams without one, and no more; but data
        // that is sent in a moment takes it along.
        stream.flushFlags(true);
        return stream;
      }
      if (stream.closed) return undefined;
      stream.lose();
      this.forget(stream);
    }
    this.#sendHeader(TYPE_WINDOW_UPDATE, FLAG_RST, streamId, 0);
    return undefined;
  }

  #end(stream: YamuxStream): boolean {
    if (stream.receiveEnd()) return !this.#ended;
    return this.#protocolError(`second FIN for stream ${stream.id}`);
  }

  #onGoAway(code: number): boolean {
    if (code === GO_AWAY_NORMAL) {
      if (!this.#remoteGoAway) {
        this.#remoteGoAway = true;
        // What waits here was never on the wire: it is as good as refused.
        for (const stream of this.#queued.splice(0)) stream.lose();
        if (!this.#ended) this.#handler.onGoAway();
      }
      return !this.#ended;
    }
    const reason =
      code === GO_AWAY_PROTOCOL_ERROR
        ? "protocol error"
        : code === GO_AWAY_INTERNAL_ERROR
          ? "internal error"
          : `code ${code}`;
    this.#fail(new TunnelError("PIKO_YAMUX_GO_AWAY", `yamux: peer ended the session: ${reason}`));
    return false;
  }

  #isPeers(streamId: number): boolean {
    return ((streamId & 1) === 1) !== this.#isClient && streamId !== 0;
  }

  #activate(stream: YamuxStream): void {
    if (this.#unacknowledged++ === 0) {
      this.#unacknowledgedSinceMs = this.#clock.now();
      this.#acknowledgedOthers = false;
    }
    const id = this.#nextId;
    this.#nextId += 2;
    this.#streams.set(id, stream);
    stream.activate(id, FLAG_SYN, true);
  }

  #acknowledged(): void {
    this.#unacknowledged--;
    this.#acknowledgedOthers = true;
    const next = this.#queued.shift();
    if (next === undefined) return;
    this.#activate(next);
    next.leaveQueue();
  }

  #protocolError(detail: string): false {
    this.#fail(new TunnelError("PIKO_YAMUX_BAD_FRAME", `yamux: ${detail}`));
    return false;
  }

  #fail(error: TunnelError): void {
    if (this.#ended) return;
    if (error.code !== "PIKO_YAMUX_GO_AWAY") {
      const peersFault = error.code === "PIKO_YAMUX_BAD_FRAME" || error.code === "PIKO_YAMUX_WINDOW_EXCEEDED";
      this.goAway(peersFault ? GO_AWAY_PROTOCOL_ERROR : GO_AWAY_INTERNAL_ERROR);
    }
    this.end();
    this.#handler.onFailed(error);
  }

  /** Whether the peer reads what its frames make us send; the session fails if not. */
  #answerable(): boolean {
    if (this.#out.pendingBytes <= MAX_ANSWER_BACKLOG_BYTES) return true;
    this.#fail(new TunnelError("PIKO_TUNNEL_BACKLOG", "yamux: peer asks and does not read"));
    return false;
  }

  #sendHeader(type: number, flags: number, streamId: number, length: number, later = false): void {
    const at = later ? this.#out.takeLater(HEADER_BYTES) : this.#out.take(HEADER_BYTES);
    writeHeader(this.#out.slab as Buffer, at, type, flags, streamId, length);
  }

  #scheduleKeepAlive(delayMs: number): void {
    this.#timer = this.#clock.setTimeout(() => this.#keepAlive(), delayMs);
  }

  /** Pings, and looks a while later whether anything came: an answer may wait behind bulk data, but who sends is alive. */
  #keepAlive(): void {
    if (this.#pingSent && !this.#heardSincePing) {
      this.#fail(
        new TunnelError(
          "PIKO_YAMUX_KEEPALIVE",
          `yamux: no answer to a ping in ${this.#keepAliveTimeoutMs} ms`,
        ),
      );
      return;
    }
    if (this.#acknowledgedOthers) {
      this.#acknowledgedOthers = false;
      this.#unacknowledgedSinceMs = this.#clock.now();
    }
    if (this.#unacknowledged > 0 && this.#clock.now() - this.#unacknowledgedSinceMs >= OPEN_TIMEOUT_MS) {
      const count = this.#unacknowledged;
      this.#fail(
        new TunnelError(
          "PIKO_YAMUX_OPEN_TIMEOUT",
          `yamux: ${count} streams not accepted in ${OPEN_TIMEOUT_MS} ms`,
        ),
      );
      return;
    }
    if (this.#nextId >= RETIRE_FROM_STREAM_ID && !this.#retire()) return;
    if (this.#pingSent) {
      this.#pingSent = false;
      this.#scheduleKeepAlive(this.#keepAliveIntervalMs - this.#keepAliveTimeoutMs);
      return;
    }
    this.#pingSent = true;
    this.#heardSincePing = false;
    this.#sendHeader(TYPE_PING, FLAG_SYN, 0, this.#pingId);
    this.#pingId = (this.#pingId + 1) >>> 0;
    this.#scheduleKeepAlive(this.#keepAliveTimeoutMs);
  }

  /** Ids run out: asks both sides to move on to another session, and ends this one when it is idle or used up. */
  #retire(): boolean {
    if (!this.#retiring) {
      this.#retiring = true;
      this.goAway();
      this.#handler.onGoAway();
    }
    if (this.#ended) return false;
    if (this.streamCount > 0 && this.#nextId <= MAX_STREAM_ID) return true;
    this.#fail(new TunnelError("PIKO_YAMUX_IDS_EXHAUSTED", "yamux: no stream ids left"));
    return false;
  }
}

const REFUSED: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };
