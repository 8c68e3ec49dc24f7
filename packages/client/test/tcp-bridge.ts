// The test server's TCP dial path: joins a client's WebSocket to a stream of an agent's tunnel.

import { type ByteSocket, WebSocketConnection, type YamuxStream } from "@piko/tunnel";
import type { TestTunnel } from "./test-server.js";

export class TcpBridge {
  readonly #socket: ByteSocket;
  readonly #webSocket: WebSocketConnection;
  readonly #stream: YamuxStream;
  /** Bytes that the stream has not accepted yet. */
  #rest: Buffer = Buffer.alloc(0);
  #clientEnded = false;
  /** Bytes of window to grant when the client's socket has drained. */
  #owed = 0;

  private constructor(socket: ByteSocket, tunnel: TestTunnel) {
    this.#socket = socket;
    this.#webSocket = new WebSocketConnection(socket, "server", {
      onPayload: (buffer, start, end) => this.#toAgent(buffer, start, end),
      onEnd: () => this.#clientEnd(),
      onDrain: () => this.#grantWindow(),
      onClose: (error) => {
        if (error !== undefined) this.#stream.reset();
      },
    });
    this.#stream = tunnel.open({
      onData: (buffer, start, end) => {
        this.#webSocket.write(buffer, start, end);
        this.#owed += end - start;
        if (!this.#socket.out.congested) this.#grantWindow();
      },
      onEnd: () => this.#webSocket.end(),
      onWritable: () => this.#flush(),
      onReset: () => this.#socket.reset(),
    });
  }

  static start(socket: ByteSocket, tunnel: TestTunnel): TcpBridge {
    return new TcpBridge(socket, tunnel);
  }

  #toAgent(buffer: Buffer, start: number, end: number): void {
    if (this.#rest.length > 0) {
      this.#rest = Buffer.concat([this.#rest, buffer.subarray(start, end)]);
      return;
    }
    const taken = this.#stream.write(buffer, start, end);
    if (taken === end - start) return;
    this.#rest = Buffer.from(buffer.subarray(start + taken, end));
    this.#socket.pause();
  }

  #clientEnd(): void {
    this.#clientEnded = true;
    if (this.#rest.length === 0) this.#stream.end();
  }

  #flush(): void {
    const taken = this.#stream.write(this.#rest, 0, this.#rest.length);
    this.#rest = this.#rest.subarray(taken);
    if (this.#rest.length > 0) return;
    this.#socket.resume();
    if (this.#clientEnded) this.#stream.end();
  }

  #grantWindow(): void {
    this.#stream.consume(this.#owed);
    this.#owed = 0;
  }
}
