// What the piko command's agent and forwarder are built on. Not for other programs: it changes without notice.

export type { AnnouncedAddress } from "./announced-address.js";
export { Backoff } from "./backoff.js";
export { parseCertificates } from "./certificates.js";
export { CLIENT_ERRORS, ClientError, type ClientErrorCode, errorText } from "./errors.js";
export type { Logger } from "./logger.js";
export { openEndpoint, type OpenEndpointOptions } from "./open-endpoint.js";
export {
  openWebSocket,
  type OpenedWebSocket,
  type OpenWebSocketOptions,
  startWebSocket,
} from "./open-websocket.js";
export { checkTls } from "./open-socket.js";
export type { TlsOptions } from "./server-address.js";
export { probeEndpoint } from "./probe-endpoint.js";
export { allowManyListeners } from "./shared-signal.js";
export { readToken, type Token } from "./token.js";
export { describeTunnels, type TunnelStatus } from "./tunnel-status.js";
export {
  CONNECT_TIMEOUT_MS,
  DEFAULT_TUNNELS,
  MAX_TUNNELS,
  type ServerOptions,
  type UpstreamEvents,
  type UpstreamOptions,
} from "./upstream-options.js";
export { Upstream } from "./upstream.js";
export { UpstreamTunnel } from "./upstream-tunnel.js";
