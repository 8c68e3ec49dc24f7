// Passes requests from tunnels, which carry HTTP/1.1, to servers that speak only HTTP/2: gRPC servers, and those of `node:http2`. Each
// request gets a stream of one session, bidirectional, with trailers. If either side is cut, so is the other.

import { type IncomingMessage, Server as HttpServer, type ServerResponse } from "node:http";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Duplex } from "node:stream";

const { NGHTTP2_CANCEL, NGHTTP2_FLAG_END_STREAM, NGHTTP2_NO_ERROR } = constants;

/** Fields that belong to one connection (RFC 9113 section 8.2.2), or are expressed differently in HTTP/2. */
const OWN: ReadonlySet<string> = new Set([
  ...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "http2-settings"],
  ...["host", "te"],
]);

type ResponseHead = IncomingHttpHeaders & { ":status"?: number | undefined };

/** Window of one request. The session's window has room for all of them, so that a slow request doesn't block others. */
const STREAM_WINDOW_BYTES = 262_144;
const SESSION_WINDOW_BYTES = 0x3fff_ffff;
/** Node refuses streams when a session uses more memory, in megabytes. Windows and Piko's own limits keep it far below. */
const SESSION_MEGABYTES = 1_024;
const MAX_HEADER_PAIRS = 1_000;

/** gRPC's status for requests that may be retried. */
const UNAVAILABLE = "14";

export interface Http2GatewayOptions {
  /** Opens a connection that speaks HTTP/2 by prior knowledge, or has negotiated it. */
  readonly open: () => Duplex;
  /** The `:authority` of requests; undefined to use the client's. */
  readonly authority: string | undefined;
  readonly secure: boolean;
  /** Maximum size of a request head, in bytes. */
  readonly maxHeaderBytes: number;
  /** Called when a connection has failed. */
  readonly onFailed: (error: Error) => void;
}

/** An HTTP/1.1 server for the connections of an endpoint, which passes on the requests. */
export class Http2Gateway extends HttpServer {
  readonly #options: Http2GatewayOptions;
  #session: ClientHttp2Session | undefined;

  constructor(options: Http2GatewayOptions) {
    // A Piko server has its own limits, based on progress.
    super({ maxHeaderSize: options.maxHeaderBytes, requestTimeout: 0 });
    this.#options = options;
    this.on("request", (incoming, outgoing) => this.#pass(incoming, outgoing));
    // The HTTP/2 server decides about the expectation itself.
    this.on("checkContinue", (incoming, outgoing) => {
      outgoing.writeContinue();
      this.#pass(incoming, outgoing);
    });
  }

  /** Closes the session after its current requests. */
  endSession(): void {
    this.#session?.close();
  }

  #pass(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { authority, maxHeaderBytes, secure } = this.#options;
    const fields = requestFields(incoming, authority, secure);
    let stream: ClientHttp2Stream;
    try {
      const options = hasBody(incoming) ? { waitForTrailers: true } : { endStream: true };
      stream = this.#take(maxHeaderBytes).request(fields, options);
    } catch (error) {
      this.#options.onFailed(error instanceof Error ? error : new Error(String(error)));
      refuse(incoming, outgoing);
      return;
    }
    stream.on("wantTrailers", () => stream.sendTrailers(incoming.trailers));
    stream.on("headers", (head) => inform(outgoing, head));
    stream.on("response", (head, flags) => respond(stream, outgoing, head, flags));
    stream.on("trailers", (trailers) => outgoing.addTrailers(plainFields(trailers)));
    // The cause is reported by `close`.
    stream.on("error", () => {});
    stream.once("close", () => {
      if (outgoing.writableEnded || outgoing.destroyed) return;
      if (outgoing.headersSent) outgoing.destroy();
      else refuse(incoming, outgoing);
    });
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) stream.close(NGHTTP2_CANCEL);
    });
    incoming.on("error", () => stream.close(NGHTTP2_CANCEL));
    if (hasBody(incoming)) incoming.pipe(stream);
  }

  #take(maxHeaderBytes: number): ClientHttp2Session {
    const session = this.#session;
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const { onFailed, open, secure } = this.#options;
    const opened = connect(secure ? "https://localhost" : "http://localhost", {
      createConnection: open,
      maxHeaderListPairs: MAX_HEADER_PAIRS,
      maxSendHeaderBlockLength: maxHeaderBytes,
      maxSessionMemory: SESSION_MEGABYTES,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
    });
    opened.once("connect", () => opened.setLocalWindowSize(SESSION_WINDOW_BYTES));
    opened.on("error", onFailed);
    // The session accepts no more requests: the next one gets a new session.
    const leave = (): void => {
      if (this.#session === opened) this.#session = undefined;
    };
    opened.once("goaway", leave).once("close", leave);
    this.#session = opened;
    return opened;
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"]) > 0;
}

function requestFields(
  { headers, method = "GET", url = "/" }: IncomingMessage,
  authority: string | undefined,
  secure: boolean,
): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = {
    ":method": method,
    ":scheme": secure ? "https" : "http",
    ":path": url,
    ":authority": authority ?? headers.host ?? "localhost",
  };
  const named = new Set((headers.connection ?? "").toLowerCase().split(/[\s,]+/));
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !OWN.has(name) && !named.has(name)) fields[name] = value;
  }
  if (/(?:^|,)\s*trailers\s*(?:$|,)/i.test(String(headers["te"] ?? ""))) fields["te"] = "trailers";
  return fields;
}

/** Passes on the interim responses that Node can write. */
function inform(outgoing: ServerResponse, head: ResponseHead): void {
  const { link } = head;
  if (head[":status"] === 103 && link !== undefined && !outgoing.headersSent) {
    outgoing.writeEarlyHints({ link });
  }
}

/** A response without a body keeps announcing that: nothing follows its head. */
function respond(
  stream: ClientHttp2Stream,
  outgoing: ServerResponse,
  head: ResponseHead,
  flags: number,
): void {
  const status = head[":status"] ?? 502;
  const fields = plainFields(head);
  const last = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
  outgoing.sendDate = false;
  if (last && outgoing.req.method !== "HEAD" && status !== 204 && status !== 304) {
    fields["content-length"] ??= "0";
  }
  outgoing.writeHead(status, fields);
  outgoing.flushHeaders();
  // Node also ends the readable side of a stream that was reset. The reset shows in its code, and `close` cuts the response.
  stream.pipe(outgoing, { end: false });
  stream.once("end", () => {
    if (stream.rstCode === NGHTTP2_NO_ERROR) outgoing.end();
  });
}

function plainFields(head: IncomingHttpHeaders): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(head)) {
    if (value !== undefined && !name.startsWith(":")) fields[name] = value;
  }
  return fields;
}

/** Answers a request that failed: 502, or a gRPC status for gRPC clients. */
function refuse({ headers }: IncomingMessage, outgoing: ServerResponse): void {
  const type = headers["content-type"] ?? "";
  if (/^application\/grpc(?![\w-])/i.test(type)) {
    outgoing.writeHead(200, {
      "content-type": type,
      "content-length": 0,
      "grpc-status": UNAVAILABLE,
      "grpc-message": "upstream unreachable",
    });
  } else outgoing.writeHead(502, { "content-length": 0 });
  outgoing.end();
}
