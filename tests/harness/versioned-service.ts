// A service that uses one version of HTTP: `http` is HTTP/1.1, `h2c` only HTTP/2, `h2` only HTTP/2 over TLS. It reads what it
// is sent, and answers with a description of it, with a checksum in the trailers.

import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createSecureServer, createServer as createH2c, type ServerHttp2Session } from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Stage } from "./stage.js";

export type ServiceProtocol = "http" | "h2c" | "h2";

/** The service's description of a request, which is its answer. */
export interface Swallowed {
  /** `1.1` or `2.0`. */
  readonly version: string;
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: number;
}

export interface VersionedService {
  /** With the scheme only if that is https. */
  readonly target: string;
  /** Number of connections accepted so far. */
  connections: number;
}

/** Starts a service; `h2` needs the files of a certificate. */
export async function startVersionedService(
  stage: Stage,
  protocol: ServiceProtocol,
  tls: { readonly cert: string; readonly key: string },
): Promise<VersionedService> {
  const server = createFor(protocol, tls);
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const service = { target: "", connections: 0 };
  server.on("connection", (socket: Socket) => {
    service.connections++;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  server.on("session", (session: ServerHttp2Session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  stage.defer(async () => {
    const closed = once(server, "close");
    server.close();
    for (const session of sessions) session.destroy();
    for (const socket of sockets) socket.destroy();
    await closed;
  });
  const { port } = server.address() as AddressInfo;
  service.target = protocol === "h2" ? `https://localhost:${port}` : `127.0.0.1:${port}`;
  return service;
}

function createFor(protocol: ServiceProtocol, tls: { cert: string; key: string }): Server {
  if (protocol === "http") return createServer(swallow);
  // Node's compatibility API offers the same methods, as far as they are used here.
  const handler = swallow as never;
  if (protocol === "h2c") return createH2c(handler);
  return createSecureServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key) }, handler);
}

function swallow(request: IncomingMessage, response: ServerResponse): void {
  const hash = createHash("sha256");
  let bytes = 0;
  request.on("data", (piece: Buffer) => {
    hash.update(piece);
    bytes += piece.length;
  });
  request.on("end", () => {
    const { headers, httpVersion: version, method, url } = request;
    response.setHeader("trailer", "x-sum");
    response.addTrailers({ "x-sum": hash.digest("hex") });
    response.end(JSON.stringify({ version, method, url, headers, bytes }));
  });
}
