// A yamux session over a byte stream: streams, pings, GoAway, and all rules whose violation ends the session. Compatible with
// hashicorp/yamux and its forks; a mistake of ours would end a Go peer's session, so sending is strict.

import { TunnelError, type TunnelErrorCode } from "../errors.js";
import { faults } from "../faults.js";
import { IdMap } from "../id-map.js";
import type { Outbox } from "../socket/outbox.js";
import {
  FLAG_ACK,
  FLAG_FIN,
  FLAG_RST,
  FLAG_SYN,
  GO_AWAY_INTERNAL_ERROR,
  GO_AWAY_NORMAL,
  GO_AWAY_PROTOCOL_ERROR,
  TYPE_DATA,
  TYPE_GO_AWAY,
  TYPE_PING,
  TYPE_WINDOW_UPDATE,
  VERSION,
} from "./frame.js";
import { Doubt } from "./doubt.js";
import { DrainTurns } from "./drain-turns.js";
import { type YamuxFrameHandler, YamuxFrameReader } from "./frame-reader.js";
import { YamuxFrameWriter } from "./frame-writer.js";
import { KeepAlive, type KeepAliveHandler } from "./keep-alive.js";
import { DOUBT_PING_ID, LEAVE_PING_ID } from "./ping-ids.js";
import { MAX_QUEUED_STREAMS, OPEN_TIMEOUT_MS, OpeningQueue } from "./opening-queue.js";
import { RoundTrip } from "./round-trip.js";
import type { SessionHandler } from "./session-handler.js";
import { completeOptions, type SessionOptions } from "./session-options.js";
import { type StreamHandler, type StreamSession, YamuxStream } from "./stream.js";
import { StreamIds } from "./stream-ids.js";
import { isViolation } from "./violation.js";

/** Maximum bytes of ping answers and refusals that the peer doesn't read; above that the session ends. */
const MAX_ANSWER_BACKLOG_BYTES = 4 * 1024 * 1024;

export class YamuxSession implements YamuxFrameHandler, KeepAliveHandler, StreamSession {
  readonly peerHalfCloses: boolean;
  readonly turns: DrainTurns;
  readonly frames: YamuxFrameWriter;
  /** Whether the peer accepts streams without delay; kept current by {@link look}. */
  readonly doubt: Doubt;
  readonly roundTrip: RoundTrip;
  readonly #out: Outbox;
  readonly #handler: SessionHandler;
  readonly #ids: StreamIds;
  readonly #reader: YamuxFrameReader;
  readonly #keepAlive: KeepAlive;
  readonly #opening: OpeningQueue;
  readonly #streams = new IdMap<YamuxStream>();
  readonly #maxPeerStreams: number;
  readonly #keepAliveTimeoutMs: number;
  #peerStreams = 0;
  /** The stream of the data frame whose payload is being received, and whether that frame has a FIN. */
  #receiving: YamuxStream | undefined;
  #finAfterPayload = false;
  #localGoAway = false;
  #remoteGoAway = false;
  #retiring = false;
  #ended = false;

  /** Throws a RangeError if the options are invalid. */
  constructor(options: SessionOptions) {
    const complete = completeOptions(options);
    const { clock, out, keepAliveIntervalMs, keepAliveTimeoutMs } = complete;
    this.peerHalfCloses = complete.peerHalfCloses;
    this.#out = out;
    this.#handler = complete.handler;
    this.#ids = new StreamIds(complete.role, complete.firstStreamId);
    this.#maxPeerStreams = complete.maxPeerStreams;
    this.#keepAliveTimeoutMs = keepAliveTimeoutMs;
    this.#reader = new YamuxFrameReader(this);
    this.#opening = new OpeningQueue(clock);
    this.turns = new DrainTurns(out);
    this.frames = new YamuxFrameWriter(out, this.turns);
    this.doubt = new Doubt(() => this.sendPing(DOUBT_PING_ID));
    this.roundTrip = new RoundTrip(clock, (id) => this.sendPing(id));
    this.#keepAlive = new KeepAlive(clock, keepAliveIntervalMs, keepAliveTimeoutMs, this);
  }

  /** Number of streams that are open or queued. */
  get streamCount(): number {
    return this.#streams.size + this.#opening.length;
  }

  /** Whether new streams can be opened: the peer has not sent GoAway, the queue has room, and ids are left. */
  get accepting(): boolean {
    if (this.#ended || this.#remoteGoAway || this.#opening.length >= MAX_QUEUED_STREAMS) return false;
    return this.#ids.hasMoreThan(this.#opening.length);
  }

  /** Whether the peer has announced that it accepts no new streams. */
  get remoteGoAway(): boolean {
    return this.#remoteGoAway;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Opens a stream; bytes can be written at once. Undefined if the session isn't `accepting`. Beyond 256 streams that the peer has not
   * accepted, a stream is queued: `write` accepts nothing until `onWritable`. The peer learns of the stream with its first bytes; call
   * `flushFlags` if the peer may send first.
   */
  openStream(handler: StreamHandler): YamuxStream | undefined {
    if (!this.accepting) return undefined;
    const stream = new YamuxStream(this, 0, handler);
    // Streams may be queued although there is room on the wire: see `forget`.
    if (this.#opening.closed || this.#opening.length > 0) this.#opening.push(stream);
    else this.#activate(stream);
    return stream;
  }

  /** Checks whether the peer is doubtful; to be called a few times a second with the clock's time. Returns whether that has changed. */
  look(nowMs: number): boolean {
    if (this.#ended) return false;
    const changed = this.doubt.look(nowMs);
    if (!this.doubt.doubtful) this.#fill();
    return changed;
  }

  /** Processes bytes from the transport. Returns how many frames began in them. */
  receive(buffer: Buffer, start: number, end: number): number {
    this.#keepAlive.received = true;
    const reader = this.#reader;
    reader.frames = 0;
    reader.read(buffer, start, end);
    return reader.frames;
  }

  /** The transport has drained: streams that it had stopped continue. */
  drained(): void {
    if (!this.#ended) this.turns.drained();
    if (this.streamCount === 0 && !this.#ended) this.#handler.onIdle?.();
  }

  /** Asks the peer to open no more streams (GoAway 0), or announces that the session is lost (1, 2). */
  goAway(code: number = GO_AWAY_NORMAL): void {
    if (this.#ended || (this.#localGoAway && code === GO_AWAY_NORMAL)) return;
    this.#localGoAway = true;
    this.frames.sendHeader(TYPE_GO_AWAY, 0, 0, code);
  }

  /**
   * Asks the peer to open no more streams; `onLeaveHeard` follows when the peer has read that. Streams that it opened before may still
   * arrive until then: if the session ended earlier, the peer could not know whether they were processed.
   */
  leave(): void {
    this.goAway();
    if (!this.#ended) this.sendPing(LEAVE_PING_ID);
  }

  /** Ends the session on our side: all streams are lost, nothing is sent or read any more. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#reader.stop();
    this.#keepAlive.stop();
    const streams = this.#streams.values().concat(this.#opening.takeAll());
    this.#streams.clear();
    this.turns.clear();
    this.#receiving = undefined;
    this.#handler.onEnded?.();
    for (const stream of streams) stream.lose();
  }

  onFrame(version: number, type: number, flags: number, streamId: number, length: number): boolean {
    if (version !== VERSION) return this.#violated("PIKO_YAMUX_VERSION", `version ${version}`);
    switch (type) {
      case TYPE_DATA:
      case TYPE_WINDOW_UPDATE:
        return this.#onStreamFrame(type, flags, streamId, length);
      case TYPE_PING:
        // Without SYN it is an answer; that it arrived is enough, see KeepAlive.
        if ((flags & FLAG_SYN) === 0) return this.#onPong(length);
        if (!this.#answerable()) return false;
        this.frames.sendHeader(TYPE_PING, FLAG_ACK, 0, length);
        return true;
      case TYPE_GO_AWAY:
        return this.#onGoAway(length);
      default:
        return this.#violated("PIKO_YAMUX_FRAME_TYPE", `frame type ${type}`);
    }
  }

  onPayload(buffer: Buffer, start: number, end: number, last: boolean): void {
    const stream = this.#receiving;
    // For one round trip the peer may still send to a stream that is closed here: such data is dropped, as is everything after a FIN.
    if (stream === undefined || stream.closed) return;
    if (stream.remoteEnded) {
      if (last && this.#finAfterPayload) this.#end(stream);
      return;
    }
    stream.receive(buffer, start, end);
    if (last && this.#finAfterPayload) this.#end(stream);
  }

  /** For streams: the stream has ended. */
  forget(stream: YamuxStream): void {
    if (stream.id === 0) {
      this.#opening.remove(stream);
      return;
    }
    if (!this.#streams.delete(stream.id)) return;
    if (this.#ids.isPeerId(stream.id)) this.#peerStreams--;
    if (stream.acknowledge()) {
      this.doubt.onGivenUp(stream);
      this.#opening.accepted();
      // Streams that will never be accepted must not block the queue. But if the peer is doubtful, streams that never were on
      // the wire can still go elsewhere, and remain queued until the peer answers.
      if (!this.doubt.doubtful) this.#fill();
    }
    if (this.#streams.size === 0 && !this.#ended) this.#handler.onIdle?.();
  }

  sendPing(id: number): void {
    this.doubt.onPing();
    this.frames.sendHeader(TYPE_PING, FLAG_SYN, 0, id);
  }

  onSilence(): void {
    const detail = `no answer to a ping in ${this.#keepAliveTimeoutMs} ms`;
    this.#fail(new TunnelError("PIKO_YAMUX_KEEPALIVE", `yamux: ${detail}`));
  }

  onTick(): void {
    const stuck = this.#opening.findStuck();
    if (stuck > 0) {
      const detail = `${stuck} streams not accepted in ${OPEN_TIMEOUT_MS} ms`;
      this.#fail(new TunnelError("PIKO_YAMUX_OPEN_TIMEOUT", `yamux: ${detail}`));
    } else if (this.#ids.scarce) this.#retire();
  }

  #onStreamFrame(type: number, flags: number, streamId: number, length: number): boolean {
    let stream = this.#streams.get(streamId);
    if ((flags & FLAG_SYN) !== 0) {
      if (stream !== undefined) {
        return this.#violated("PIKO_YAMUX_SECOND_SYN", `second SYN for stream ${streamId}`);
      }
      stream = this.#onSyn(streamId);
      if (this.#ended) return false;
    }
    this.#receiving = type === TYPE_DATA ? stream : undefined;
    this.#finAfterPayload = false;
    if (stream === undefined) return true;
    if ((flags & FLAG_ACK) !== 0 && stream.acknowledge()) {
      this.doubt.onAnswered(stream);
      this.#opening.accepted();
      this.#fill();
    }
    if ((flags & FLAG_RST) !== 0) {
      this.doubt.onAnswered(stream);
      this.#receiving = undefined;
      stream.lose();
      this.forget(stream);
      return !this.#ended;
    }
    if (type === TYPE_WINDOW_UPDATE) {
      if (length > 0) stream.grow(length);
    } else if (!stream.receiveFrame(length)) {
      const detail = `stream ${streamId}: ${length} bytes above the window`;
      return this.#violated("PIKO_YAMUX_WINDOW_EXCEEDED", detail);
    }
    if ((flags & FLAG_FIN) !== 0) {
      if (type === TYPE_DATA && length > 0) this.#finAfterPayload = true;
      else return this.#end(stream);
    }
    return !this.#ended;
  }

  #onSyn(streamId: number): YamuxStream | undefined {
    // Ids may arrive out of order: Go takes an id first and sends the SYN later, from several goroutines.
    if (!this.#ids.isPeerId(streamId)) {
      this.#violated("PIKO_YAMUX_STREAM_ID", `SYN for stream ${streamId}, which is not the peer's to open`);
      return undefined;
    }
    if (!this.#answerable()) return undefined;
    if (!this.#localGoAway && this.#peerStreams < this.#maxPeerStreams) {
      const stream = new YamuxStream(this, streamId, REFUSED);
      // Registered before the owner sees it, because the owner may end or reset it at once.
      this.#streams.set(streamId, stream);
      this.#peerStreams++;
      stream.activate(streamId, FLAG_ACK, false);
      const handler = this.#accept(stream);
      if (handler !== undefined) {
        stream.handler = handler;
        if (this.#ended) handler.onReset();
        if (stream.closed) return undefined;
        // The ACK doesn't wait for the first data, because the peer may have at most 256 streams without one; but data that is
        // sent within a moment takes it along.
        stream.flushFlags(true);
        return stream;
      }
      if (stream.closed) return undefined;
      stream.lose();
      this.forget(stream);
    }
    this.frames.sendWindowUpdate(streamId, FLAG_RST, 0);
    return undefined;
  }

  /** An error that the owner throws is its own fault, and refuses the stream. */
  #accept(stream: YamuxStream): StreamHandler | undefined {
    try {
      return this.#handler.onStream(stream);
    } catch (error) {
      faults.report(error);
      return undefined;
    }
  }

  #end(stream: YamuxStream): boolean {
    if (stream.receiveEnd()) return !this.#ended;
    return this.#violated("PIKO_YAMUX_SECOND_FIN", `second FIN for stream ${stream.id}`);
  }

  #onGoAway(code: number): boolean {
    if (code === GO_AWAY_NORMAL) {
      if (!this.#remoteGoAway) {
        this.#remoteGoAway = true;
        // Queued streams were never on the wire: they count as refused.
        for (const stream of this.#opening.takeAll()) stream.lose();
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

  #activate(stream: YamuxStream): void {
    this.#opening.opened();
    this.doubt.onOpened(stream);
    const id = this.#ids.take();
    this.#streams.set(id, stream);
    stream.activate(id, FLAG_SYN, true);
  }

  /** Opens queued streams as long as there is room on the wire. */
  #fill(): void {
    while (!this.#opening.closed) {
      const next = this.#opening.next();
      if (next === undefined) return;
      this.#activate(next);
      next.leaveQueue();
    }
  }

  #onPong(id: number): boolean {
    this.doubt.onPong();
    this.roundTrip.onPong(id);
    this.#fill();
    if (id === LEAVE_PING_ID && this.#localGoAway && !this.#ended) this.#handler.onLeaveHeard?.();
    return !this.#ended;
  }

  #violated(code: TunnelErrorCode, detail: string): false {
    this.#fail(new TunnelError(code, `yamux: ${detail}`));
    return false;
  }

  #fail(error: TunnelError): void {
    if (this.#ended) return;
    if (error.code !== "PIKO_YAMUX_GO_AWAY") {
      this.goAway(isViolation(error.code) ? GO_AWAY_PROTOCOL_ERROR : GO_AWAY_INTERNAL_ERROR);
    }
    this.end();
    this.#handler.onFailed(error);
  }

  /** Whether the peer reads the answers to its frames; if not, the session fails. */
  #answerable(): boolean {
    if (this.#out.pendingBytes <= MAX_ANSWER_BACKLOG_BYTES) return true;
    this.#fail(new TunnelError("PIKO_TUNNEL_BACKLOG", "yamux: peer asks and does not read"));
    return false;
  }

  /** Ids run out: asks both sides to move on to another session, and ends this one when it is idle or used up. */
  #retire(): void {
    if (!this.#retiring) {
      this.#retiring = true;
      this.goAway();
      this.#handler.onGoAway();
    }
    if (this.streamCount > 0 && this.#ids.hasMoreThan(0)) return;
    this.#fail(new TunnelError("PIKO_YAMUX_IDS_EXHAUSTED", "yamux: no stream ids left"));
  }
}

const REFUSED: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };
