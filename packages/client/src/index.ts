// The public API of @piko/client: listen on and dial Piko endpoints.

export { dial } from "./dial.js";
export { EndpointAgent, type EndpointAgentOptions } from "./endpoint-agent.js";
export { EndpointDispatcher, type FetchDispatcher } from "./endpoint-dispatcher.js";
export { EndpointSocket } from "./endpoint-socket.js";
export { CLIENT_ERRORS, ClientError, type ClientErrorCode } from "./errors.js";
export type { FetchFunction, FetchHandler } from "./fetch-handler.js";
export type { ResponseLike } from "./fetch-response.js";
export { forward, type ForwardOptions, type Http2Protocol } from "./forward.js";
export type { ConnectionInjector } from "./http2-server.js";
export { listen } from "./listen.js";
export type { ConnectionServer } from "./connection-server.js";
export type { HandlerOptions, HttpHandler } from "./handler-server.js";
export { Listener, type ListenerEvents } from "./listener.js";
export type { Logger } from "./logger.js";
export type { ConnectOptions, DialOptions, ListenOptions } from "./options.js";
export { serve, type ServeOptions } from "./serve.js";
export type { TlsOptions, TlsSource } from "./server-address.js";
export type { Token } from "./token.js";
export type { TunnelStatus } from "./tunnel-status.js";
