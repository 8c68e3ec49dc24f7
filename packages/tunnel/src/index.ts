// The public API of @piko/tunnel: WebSocket framing and yamux streams over one socket.

export { AwakeClock, AwakeTimer } from "./awake-clock.js";
export type { Clock, Timer } from "./clock.js";
export { systemClock } from "./system-clock.js";
export { CAPABILITIES_FIELD, DRAIN, HALF_CLOSE, hasCapability } from "./capabilities.js";
export { dial, type DialTarget } from "./dial/dial.js";
export { HostLookup, type HostLookupOptions, type LookupDone } from "./dial/host-lookup.js";
export { TUNNEL_ERRORS, TunnelError, type TunnelErrorCode } from "./errors.js";
export { faults } from "./faults.js";
export { IdMap } from "./id-map.js";
export { ByteSocket } from "./socket/byte-socket.js";
export type { SocketHandler } from "./socket/socket-handler.js";
export type { ConnectOptions } from "./socket/connect-options.js";
export { TLS_CIPHERS } from "./socket/tls-ciphers.js";
export { Outbox, type Seal } from "./socket/outbox.js";
export { isConnectionOver, isResetAtEnd, resetError, resetSocket } from "./socket/socket-state.js";
export { giveSlab, SLAB_BYTES, takeSlab } from "./socket/slab-pool.js";
export { WebSocketConnection, type WebSocketHandler } from "./websocket/connection.js";
export * from "./websocket/frame.js";
export { type FrameHandler, FrameReader } from "./websocket/frame-reader.js";
export {
  acceptKey,
  isValidKey,
  randomKey,
  switchingProtocols,
  upgradeRequest,
} from "./websocket/handshake.js";
export { applyMask } from "./websocket/mask.js";
export { DOUBT_AFTER_MS, type DoubtReason } from "./yamux/doubt.js";
export {
  ACCEPT_BACKLOG,
  GO_AWAY_INTERNAL_ERROR,
  GO_AWAY_NORMAL,
  GO_AWAY_PROTOCOL_ERROR,
  INITIAL_WINDOW_BYTES,
  MAX_DATA_BYTES,
} from "./yamux/frame.js";
export { MAX_QUEUED_STREAMS, OPEN_TIMEOUT_MS } from "./yamux/opening-queue.js";
export { YamuxSession } from "./yamux/session.js";
export type { SessionHandler } from "./yamux/session-handler.js";
export {
  KEEP_ALIVE_INTERVAL_MS,
  KEEP_ALIVE_TIMEOUT_MS,
  type SessionOptions,
} from "./yamux/session-options.js";
export { type StreamHandler, YamuxStream } from "./yamux/stream.js";
export { type KeepAliveOptions, TunnelSession, type TunnelSessionHandler } from "./tunnel-session.js";
