// A tunnel: a yamux session inside a WebSocket. Connects the two, and reports every way of ending by one call.

import type { Clock } from "./clock.js";
import { systemClock } from "./system-clock.js";
import type { TunnelError } from "./errors.js";
import type { ByteSocket } from "./socket/byte-socket.js";
import { WebSocketConnection, type WebSocketHandler } from "./websocket/connection.js";
import { CLOSE_INTERNAL_ERROR, CLOSE_PROTOCOL_ERROR } from "./websocket/frame.js";
import { GO_AWAY_INTERNAL_ERROR } from "./yamux/frame.js";
import { YamuxSession } from "./yamux/session.js";
import type { SessionHandler } from "./yamux/session-handler.js";
import type { SessionOptions } from "./yamux/session-options.js";
import type { StreamHandler, YamuxStream } from "./yamux/stream.js";
import { isViolation } from "./yamux/violation.js";

/** Payload of a Pong by which our nodes notify our agents of a new node. */
const OTHER_NODES = Buffer.from("piko-nodes", "latin1");

/** The events that the owner of a tunnel receives. */
export interface TunnelSessionHandler {
  /** The peer opened a stream; return its handler, or undefined to refuse it. */
  onStream(stream: YamuxStream): StreamHandler | undefined;
  /** The peer accepts no new streams. */
  onGoAway(): void;
  /** The peer has read the GoAway of {@link TunnelSession.leave}: it opens no further streams. */
  onLeaveHeard?(): void;
  /** The peer is a node, and has learned of a new one: see {@link TunnelSession.tellOfNode}. */
  onNode?(): void;
  /**
   * The last stream has ended, or the socket has drained while no stream is open. Called from within other calls, so the owner
   * should check a moment later whether this is still so.
   */
  onIdle?(): void;
  /**
   * The tunnel neither accepts nor delivers anything any more; its streams are notified next, and `onClose` follows when the
   * connection is closed, which takes seconds if the peer doesn't answer. Exactly once.
   */
  onEnded?(): void;
  /** The tunnel is closed and all its streams were reset. Undefined: closed normally, by either side. Exactly once. */
  onClose(error: TunnelError | undefined): void;
}

/** How to detect a peer that has vanished; in milliseconds, see {@link SessionOptions}. */
export type KeepAliveOptions = Pick<SessionOptions, "keepAliveIntervalMs" | "keepAliveTimeoutMs">;

/** What is known about the peer, and how it is monitored; see {@link SessionOptions}. */
export type TunnelOptions = KeepAliveOptions & Pick<SessionOptions, "peerHalfCloses">;

export class TunnelSession implements WebSocketHandler, SessionHandler {
  readonly yamux: YamuxSession;
  readonly #webSocket: WebSocketConnection;
  readonly #handler: TunnelSessionHandler;
  #error: TunnelError | undefined;

  /** Takes over a socket after its WebSocket handshake. Pass bytes that came after the handshake to `receive`. */
  constructor(
    socket: ByteSocket,
    role: "client" | "server",
    handler: TunnelSessionHandler,
    clock: Clock = systemClock,
    options: TunnelOptions = {},
  ) {
    this.#handler = handler;
    this.#webSocket = new WebSocketConnection(socket, role, this, clock);
    this.yamux = new YamuxSession({ role, out: socket.out, clock, handler: this, ...options });
  }

  /** To be called with bytes that arrived together with the handshake. */
  receive(buffer: Buffer, start: number, end: number): void {
    this.#webSocket.onBytes(buffer, start, end);
  }

  /** Asks the peer to open no more streams; those in progress continue. */
  goAway(): void {
    this.yamux.goAway();
  }

  /** The same; `onLeaveHeard` follows when the peer has read it. */
  leave(): void {
    this.yamux.leave();
  }

  /** Notifies an agent that there is a new node. Peers that don't know the message ignore it. */
  tellOfNode(): void {
    this.#webSocket.pong(OTHER_NODES);
  }

  /** Ends the tunnel so that a Go agent reconnects: GoAway(2), then FIN. A plain close or a Close frame would end its process. */
  evict(): void {
    this.yamux.goAway(GO_AWAY_INTERNAL_ERROR);
    this.yamux.end();
    this.#webSocket.endWithoutClose();
  }

  /** Ends the tunnel normally: sends a Close frame, which the peer has a few seconds to answer. */
  close(): void {
    this.yamux.end();
    this.#webSocket.close();
  }

  /** Ends the tunnel with only a FIN, as Go agents do. */
  endWithoutClose(): void {
    this.yamux.end();
    this.#webSocket.endWithoutClose();
  }

  /** Drops the connection; streams are reset at once. */
  destroy(): void {
    this.yamux.end();
    this.#webSocket.destroy();
  }

  onPayload(buffer: Buffer, start: number, end: number): void {
    this.#webSocket.socket.messages += this.yamux.receive(buffer, start, end);
  }

  onEnd(): void {
    this.close();
  }

  onDrain(): void {
    this.yamux.drained();
  }

  onPong(payload: Buffer): void {
    if (payload.equals(OTHER_NODES)) this.#handler.onNode?.();
  }

  onClose(error: TunnelError | undefined): void {
    this.yamux.end();
    this.#handler.onClose(this.#error ?? error);
  }

  onStream(stream: YamuxStream): StreamHandler | undefined {
    return this.#handler.onStream(stream);
  }

  onGoAway(): void {
    this.#handler.onGoAway();
  }

  onLeaveHeard(): void {
    this.#handler.onLeaveHeard?.();
  }

  onIdle(): void {
    this.#handler.onIdle?.();
  }

  onEnded(): void {
    this.#handler.onEnded?.();
  }

  onFailed(error: TunnelError): void {
    this.#error = error;
    this.#webSocket.fail(error, isViolation(error.code) ? CLOSE_PROTOCOL_ERROR : CLOSE_INTERNAL_ERROR);
  }
}
