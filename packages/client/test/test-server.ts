// A server just big enough to test clients against: upstream and proxy port in one, no authentication except what a test sets,
// and at most one tunnel per listener at a time, as in a single node.

import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import {
  ByteSocket,
  CAPABILITIES_FIELD,
  HALF_CLOSE,
  type SocketHandler,
  type StreamHandler,
  switchingProtocols,
  TunnelSession,
  type TunnelError,
  type YamuxStream,
} from "@piko/tunnel";
import { TcpBridge } from "./tcp-bridge.js";

/** A request as received. */
export interface SeenRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: ReadonlyMap<string, string>;
}

/** One tunnel, which a test can use and end. */
export class TestTunnel {
  readonly endpointId: string;
  /** The listener's instance name, from the request. */
  readonly instance: string | undefined;
  /** The server's node id when the tunnel was opened; undefined for a Go node. */
  readonly nodeId: string | undefined;
  readonly socket: ByteSocket;
  readonly session: TunnelSession;
  receivedGoAway = false;
  closed = false;
  error: TunnelError | undefined;

  constructor(
    request: { endpointId: string; instance: string | undefined; nodeId: string | undefined },
    socket: ByteSocket,
    onChange: () => void,
  ) {
    this.endpointId = request.endpointId;
    this.instance = request.instance;
    this.nodeId = request.nodeId;
    this.socket = socket;
    this.session = new TunnelSession(socket, "server", {
      onStream: () => undefined,
      onGoAway: () => {
        this.receivedGoAway = true;
        onChange();
      },
      onClose: (error) => {
        this.closed = true;
        this.error = error;
        onChange();
      },
    });
  }

  open(handler: StreamHandler): YamuxStream {
    const stream = this.session.yamux.openStream(handler);
    if (stream === undefined) throw new Error("tunnel takes no streams");
    // The service may send first.
    stream.flushFlags();
    return stream;
  }
}

/** Answers the next handshakes instead of a 101: a whole response, at once or later. */
export type Answer = string | "drop" | Promise<string>;

export class TestServer {
  readonly requests: SeenRequest[] = [];
  readonly tunnels: TestTunnel[] = [];
  /** Answers for the next requests; if there are none, a request is served. */
  readonly answers: Answer[] = [];
  /** Additional header lines of every 101, each with its CRLF. */
  extra = "";
  /** Called with every new tunnel during its handshake, before the client has seen the 101. */
  onTunnel: (tunnel: TestTunnel) => void = () => {};
  readonly #server: Server;
  readonly #secure: boolean;
  readonly #sockets = new Set<ByteSocket>();
  readonly #waiting = new Set<() => void>();

  private constructor(tls?: { cert: string; key: string }) {
    this.#secure = tls !== undefined;
    const accept = (socket: Socket): void => {
      this.#sockets.add(new Handshake(this, socket).socket);
    };
    this.#server =
      tls === undefined ? createServer({ pauseOnConnect: true }, accept) : createTlsServer(tls, accept);
  }

  static async start(tls?: { cert: string; key: string }): Promise<TestServer> {
    const server = new TestServer(tls);
    server.becomeNode("node-1");
    await server.listen(0);
    return server;
  }

  /** Listens on a port, also again after `stopListening`. */
  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.listen(port, "127.0.0.1", resolve);
    });
  }

  /** Accepts no connections until `listen`; open ones stay. */
  stopListening(): void {
    // Its callback isn't awaited: sockets were moved to objects that the server doesn't know, so it would never be called.
    this.#server.close();
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#secure ? "https" : "http"}://localhost:${this.port}`;
  }

  /** The newest tunnel that is open and has no GoAway. */
  tunnel(endpointId: string): TestTunnel | undefined {
    const live = this.tunnels.filter((each) => !each.closed && !each.receivedGoAway);
    return live.filter((each) => each.endpointId === endpointId).at(-1);
  }

  /** The node id that it announces; undefined for a Go node. */
  get nodeId(): string | undefined {
    return /^x-piko-node-id: (.*)\r$/m.exec(this.extra)?.[1];
  }

  /** From here on answers as another node, as if a load balancer had chosen that one. */
  becomeNode(nodeId: string): void {
    this.extra = `x-piko-node-id: ${nodeId}\r\nx-piko-capabilities: drain\r\n`;
  }

  /** From here on answers as a Go node. */
  becomeGoNode(): void {
    this.extra = "";
  }

  /** Waits until `probe` returns something; it is called whenever a tunnel or request arrives or ends. */
  async until<T>(probe: () => T | undefined | false): Promise<T> {
    for (;;) {
      const found = probe();
      if (found !== undefined && found !== false) return found;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  changed = (): void => {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  };

  async close(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(
      [...this.#sockets].map(
        (each) =>
          each.socket.closed ||
          new Promise<void>((resolve) => {
            each.socket.once("close", resolve);
          }),
      ),
    );
  }

  /** Number of connections that neither side has closed. */
  get connectionCount(): number {
    return [...this.#sockets].filter(({ socket }) => !socket.closed).length;
  }

  serve(socket: ByteSocket, request: SeenRequest): void {
    this.requests.push(request);
    const answer = this.answers.shift();
    const [, kind, id] =
      /^\/(?:base\/)?(piko\/v1\/upstream|_piko\/v1\/tcp)\/([^/]+)$/.exec(request.target) ?? [];
    const endpointId = decodeURIComponent(id ?? "");
    if (answer === "drop") socket.close();
    else if (typeof answer === "string") reply(socket, answer);
    else if (answer !== undefined) void answer.then((response) => reply(socket, response));
    else if (kind === undefined) reply(socket, jsonError(404, "not found"));
    else if (kind === "piko/v1/upstream") this.#listen(socket, request, endpointId);
    else this.#dial(socket, request, endpointId);
    this.changed();
  }

  #listen(socket: ByteSocket, request: SeenRequest, endpointId: string): void {
    const instance = request.headers.get("x-piko-instance");
    const { nodeId } = this;
    const earlier = this.tunnels.findLast(
      (each) => !each.closed && !each.receivedGoAway && each.instance === instance && each.nodeId === nodeId,
    );
    if (nodeId !== undefined && instance !== undefined && earlier?.endpointId === endpointId) {
      if (request.headers.get("x-piko-instance-repeat") !== "true") {
        const field = `x-piko-node-id: ${nodeId}\r\n`;
        reply(socket, jsonError(409, "listener has a tunnel to this node", field));
        return;
      }
      earlier.session.goAway();
    }
    socket.out.writeLatin1(switchingProtocols(request.headers.get("sec-websocket-key") ?? "", this.extra));
    const tunnel = new TestTunnel({ endpointId, instance, nodeId }, socket, this.changed);
    this.tunnels.push(tunnel);
    this.onTunnel(tunnel);
  }

  #dial(socket: ByteSocket, request: SeenRequest, endpointId: string): void {
    const tunnel = this.tunnel(endpointId);
    if (!request.headers.has("upgrade")) {
      reply(socket, jsonError(426, "websocket upgrade required"));
      return;
    }
    if (tunnel === undefined) {
      reply(socket, jsonError(502, "no available upstreams"));
      return;
    }
    const key = request.headers.get("sec-websocket-key") ?? "";
    socket.out.writeLatin1(switchingProtocols(key, `${CAPABILITIES_FIELD}: ${HALF_CLOSE}\r\n`));
    TcpBridge.start(socket, tunnel);
  }
}

/** A whole response with a JSON error; `extra` contains additional header lines, each with its CRLF. */
export function jsonError(status: number, error: string, extra = ""): string {
  const body = JSON.stringify({ error });
  return (
    `HTTP/1.1 ${status} Status ${status}\r\nContent-Type: application/json; charset=utf-8\r\n` +
    `Content-Length: ${body.length}\r\n${extra}\r\n${body}`
  );
}

function reply(socket: ByteSocket, text: string): void {
  socket.out.writeLatin1(text);
  socket.close();
}

/** Collects a request's head. */
class Handshake implements SocketHandler {
  readonly socket: ByteSocket;
  readonly #server: TestServer;
  #text = "";

  constructor(server: TestServer, accepted: Socket) {
    this.#server = server;
    this.socket = ByteSocket.accept(accepted, this);
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.#text += buffer.toString("latin1", start, end);
    const headEnd = this.#text.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    if (headEnd + 4 < this.#text.length) throw new Error("client sent bytes before the 101");
    const [requestLine = "", ...fields] = this.#text.slice(0, headEnd).split("\r\n");
    const [method = "", target = ""] = requestLine.split(" ");
    const headers = new Map(
      fields.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    this.#server.serve(this.socket, { method, target, headers });
  }

  onEnd(): void {
    this.socket.close();
  }

  onDrain(): void {}

  onClose(): void {}
}
