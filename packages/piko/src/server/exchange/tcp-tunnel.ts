// `/_piko/v1/tcp/:endpoint`: the WebSocket of a TCP client (piko forward, the SDK) joined to a stream of a tunnel. The stream
// is opened before the 101, so a 101 means that there is an upstream.

import {
  type ByteSocket,
  CAPABILITIES_FIELD,
  CLOSE_INTERNAL_ERROR,
  HALF_CLOSE,
  isValidKey,
  type StreamHandler,
  switchingProtocols,
  TunnelError,
  WebSocketConnection,
  type WebSocketHandler,
  type YamuxStream,
} from "@piko/tunnel";
import { FIELD_SEC_WEBSOCKET_KEY, FIELD_SEC_WEBSOCKET_VERSION } from "../../http/field-names.js";
import type { RequestHead } from "../../http/head.js";
import { findField } from "../../http/find-field.js";
import { announcesHalfClose } from "../../http/half-close.js";
import { type Reason, REASONS } from "../../http/reasons.js";
import { StreamSender } from "../../net/stream-sender.js";
import { NODE_DRAINING, NODE_HEALTHY } from "../cluster/cluster-table.js";
import type { EndpointTunnels } from "../upstream/endpoint-tunnels.js";
import type { Tunnel } from "../upstream/tunnel.js";
import { isForwarded, mayReroute } from "../upstream/hop/forwarded.js";
import type { Exchange } from "../../http/exchange/exchange.js";
import type { NodeClient, RawConnection } from "./node-client.js";
import type { ProxyContext } from "./proxy-context.js";
import { ENDPOINT_BUSY, rateRefusal } from "./proxy-limits.js";

const CAPABILITIES = `${CAPABILITIES_FIELD}: ${HALF_CLOSE}\r\n`;
/**
 * A Go peer that ends has closed both directions, and further data for it is dropped. If the other side still sends data after
 * this time, it is cut, like a peer of a closed socket. Not at once, because the last bytes must get through first.
 */
const DISCARD_MS = 10_000;

/**
 * Answers a TCP dial: with a 101, after which the client's socket is joined to a stream, or with a refusal. False if this node
 * has no tunnel for it.
 */
export function openTcpTunnel(
  exchange: Exchange,
  client: NodeClient,
  head: RequestHead,
  endpointId: string,
  context: ProxyContext,
): boolean {
  // Always defined: the life cycle passes no other dials here.
  const raw = client.raw as RawConnection;
  const key = findField(head, FIELD_SEC_WEBSOCKET_KEY);
  if (findField(head, FIELD_SEC_WEBSOCKET_VERSION) !== "13") {
    exchange.reply(
      REASONS.bad_request,
      400,
      "unsupported websocket version",
      "Sec-WebSocket-Version: 13\r\n",
    );
    return true;
  }
  if (key === undefined || !isValidKey(key) || head.chunked || head.contentLength > 0) {
    exchange.reply(REASONS.bad_request, 400, "invalid websocket handshake");
    return true;
  }
  const endpoint = context.upstreams.find(endpointId);
  const tunnel = endpoint?.select(undefined) ?? fallbackTunnel(client, head, endpointId, context);
  if (endpoint === undefined || tunnel === undefined) return false;
  if (endpoint.requests >= context.config.limits.maxRequestsPerEndpoint) {
    exchange.refuse(ENDPOINT_BUSY);
    return true;
  }
  const limit = tunnel.tenant?.enter(endpointId);
  if (limit !== undefined) {
    exchange.refuse(rateRefusal(limit));
    return true;
  }
  const capable = announcesHalfClose(head);
  const joined = new TcpTunnel({
    client: raw,
    endpoint,
    clientHalfCloses: capable,
    agentHalfCloses: tunnel.drainable,
    context,
  });
  const stream = tunnel.openStream(joined.streamHandler);
  if (stream === undefined) {
    exchange.reply(REASONS.refused, 502, REASONS.connect_failed.message);
    return true;
  }
  context.upstreamMetrics.requests++;
  // The service may send the first data, so the SYN can't wait for the client's.
  stream.flushFlags();
  exchange.leave();
  const socket = raw.handOver();
  socket.out.writeLatin1(switchingProtocols(key, capable ? CAPABILITIES : ""));
  joined.join(stream, socket);
  raw.passAhead();
  return true;
}

/** Selects a draining or doubtful tunnel, unless another node has a better one. */
function fallbackTunnel(
  client: NodeClient,
  head: RequestHead,
  endpointId: string,
  context: ProxyContext,
): Tunnel | undefined {
  const { cluster, upstreams } = context;
  const endpoint = upstreams.find(endpointId);
  if (endpoint === undefined) return undefined;
  const forwarded = isForwarded(head);
  if (!forwarded && cluster?.has(endpointId, NODE_HEALTHY) === true) return undefined;
  const draining = endpoint.selectDraining(undefined);
  if (draining !== undefined) return draining;
  // The dispatch sends the request back to a node that accepts it back.
  const sentBack = forwarded && mayReroute(head) && context.isHop(head, client.client.address);
  if (sentBack && cluster?.has(endpointId, NODE_HEALTHY) === true) return undefined;
  if (!forwarded && cluster?.has(endpointId, NODE_DRAINING) === true) return undefined;
  return endpoint.selectDoubtful(undefined);
}

interface TcpTunnelOptions {
  readonly client: RawConnection;
  readonly endpoint: EndpointTunnels;
  /** Whether the client is one of ours: it ends with a Close frame, so that EOF without one is a cut. */
  readonly clientHalfCloses: boolean;
  /** Whether the agent is one of ours: its FIN leaves the other direction open. */
  readonly agentHalfCloses: boolean;
  readonly context: ProxyContext;
}

/** Joins client and stream. Each direction ends by itself if both peers support half-close (decision 004). */
class TcpTunnel implements WebSocketHandler {
  /** The handler of the stream; separate because the WebSocket's callbacks have the same names. */
  readonly streamHandler: StreamHandler;
  readonly #client: RawConnection;
  readonly #context: ProxyContext;
  readonly #startMs: number;
  readonly #endpoint: EndpointTunnels;
  readonly #sender: StreamSender;
  readonly #clientHalfCloses: boolean;
  readonly #agentHalfCloses: boolean;
  #webSocket: WebSocketConnection | undefined = undefined;
  #stream: YamuxStream | undefined = undefined;
  #clientEnded = false;
  #serviceEnded = false;
  /** The client is gone; the stream may still be open. */
  #clientGone = false;
  /** When a Go peer's end, which closes both directions, was passed on to the other side; Infinity before. */
  #closedMs = Number.POSITIVE_INFINITY;
  /** Bytes queued in the client's socket, not yet granted back to the stream. */
  #unconsumed = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  #over = false;
  /** Why the connection was cut; undefined if it wasn't. */
  #reason: Reason | undefined = undefined;

  constructor({ agentHalfCloses, client, clientHalfCloses, context, endpoint }: TcpTunnelOptions) {
    this.#client = client;
    this.#context = context;
    this.#endpoint = endpoint;
    this.#sender = new StreamSender(context.budget);
    this.#clientHalfCloses = clientHalfCloses;
    this.#agentHalfCloses = agentHalfCloses;
    this.#startMs = context.clock.now();
    this.streamHandler = {
      onData: (buffer, start, end) => this.#toClient(buffer, start, end),
      onEnd: () => this.#onServiceEnd(),
      onWritable: () => this.#onWritable(),
      onReset: () => this.#onStreamReset(),
    };
  }

  /** Takes over the client's socket after the 101. */
  join(stream: YamuxStream, socket: ByteSocket): void {
    const { clock, metrics } = this.#context;
    this.#stream = stream;
    this.#endpoint.requests++;
    metrics.begin();
    this.#webSocket = new WebSocketConnection(socket, "server", this, clock, !this.#clientHalfCloses);
  }

  onPayload(buffer: Buffer, start: number, end: number): void {
    const stream = this.#stream;
    if (stream === undefined) {
      this.#refuse();
      return;
    }
    this.#bytesIn += end - start;
    this.#sender.send(stream, buffer, start, end);
    if (this.#sender.blocked) this.#webSocket?.socket.pause();
  }

  /** The client has ended its direction. */
  onEnd(): void {
    this.#clientEnded = true;
    if (!this.#sender.blocked) this.#endStream();
  }

  onDrain(): void {
    const count = this.#unconsumed;
    if (count === 0) return;
    this.#unconsumed = 0;
    this.#stream?.consume(count);
  }

  onClose(error: TunnelError | undefined): void {
    this.#webSocket = undefined;
    this.#clientGone = true;
    if (error !== undefined) {
      this.#reason ??= this.#context.gone;
      this.#stream?.reset();
      this.#stream = undefined;
    } else {
      // Data from a Go client is still delivered after it closed; queued data for it is dropped.
      if (!this.#sender.blocked) this.#closedMs = this.#context.clock.now();
      this.onDrain();
    }
    this.#finishIfOver();
    this.#client.release();
  }

  #toClient(buffer: Buffer, start: number, end: number): void {
    const webSocket = this.#webSocket;
    if (webSocket === undefined) {
      this.#drop(end - start);
      return;
    }
    this.#bytesOut += end - start;
    webSocket.write(buffer, start, end);
    if (webSocket.out.congested) this.#unconsumed += end - start;
    else this.#stream?.consume(end - start);
  }

  /** Drops data for a client that has closed; resets the stream after `DISCARD_MS`. */
  #drop(count: number): void {
    if (this.#isPatient) {
      this.#stream?.consume(count);
      return;
    }
    this.#stream?.reset();
    this.#stream = undefined;
    this.#finishIfOver();
  }

  /** Drops data for a service that has closed; resets the client after `DISCARD_MS`. */
  #refuse(): void {
    const webSocket = this.#webSocket;
    if (!this.#isPatient && webSocket?.socket.unsentBytes === 0) webSocket.reset();
  }

  get #isPatient(): boolean {
    return this.#context.clock.now() - this.#closedMs < DISCARD_MS;
  }

  #onWritable(): void {
    const stream = this.#stream;
    if (stream === undefined || !this.#sender.blocked) return;
    this.#sender.resume(stream);
    if (this.#sender.blocked) return;
    if (this.#clientEnded) this.#endStream();
    else this.#webSocket?.socket.resume();
  }

  /** Passes on the client's end, after all its data. */
  #endStream(): void {
    if (this.#clientGone) this.#closedMs = this.#context.clock.now();
    this.#stream?.end();
    this.#finishIfOver();
  }

  #onServiceEnd(): void {
    this.#serviceEnded = true;
    const webSocket = this.#webSocket;
    if (!this.#agentHalfCloses) {
      // A Go agent has closed: drops queued data for it, and answers with an end; it expects no reset.
      this.#closedMs = this.#context.clock.now();
      this.#sender.clear();
      this.#stream?.end();
      this.#stream = undefined;
      webSocket?.socket.resume();
    }
    webSocket?.end();
    this.#finishIfOver();
  }

  #onStreamReset(): void {
    const lost = this.#stream?.lostWithSession === true;
    this.#reason ??= lost ? REASONS.tunnel_lost : REASONS.reset;
    this.#stream = undefined;
    const error = new TunnelError("PIKO_TUNNEL_EOF", "upstream connection reset");
    this.#webSocket?.fail(error, CLOSE_INTERNAL_ERROR);
    this.#finishIfOver();
  }

  /** Records the connection once, when both sides have finished. */
  #finishIfOver(): void {
    if (this.#over || !this.#clientGone || !(this.#stream === undefined || this.#bothEnded)) return;
    this.#over = true;
    this.#stream = undefined;
    this.#sender.clear();
    this.#endpoint.requests--;
    const { clock, metrics } = this.#context;
    const seconds = (clock.now() - this.#startMs) / 1_000;
    metrics.end(101, "GET", seconds, this.#bytesIn, this.#bytesOut);
    if (this.#reason !== undefined) metrics.fail(this.#reason);
  }

  get #bothEnded(): boolean {
    return this.#clientEnded && this.#serviceEnded && !this.#sender.blocked;
  }
}
