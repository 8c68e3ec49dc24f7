// An HTTP proxy that supports only CONNECT.

import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

export class HttpProxy {
  /** Request heads as received. */
  readonly requests: string[] = [];
  /** Response to send instead of connecting. */
  answer: string | undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #secure: boolean;

  private constructor(tls?: { cert: string; key: string }) {
    this.#secure = tls !== undefined;
    const accept = (socket: Socket): void => this.#serve(socket);
    this.#server = tls === undefined ? createServer(accept) : createTlsServer(tls, accept);
  }

  static async start(tls?: { cert: string; key: string }): Promise<HttpProxy> {
    const proxy = new HttpProxy(tls);
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  url(userinfo = ""): string {
    const { port } = this.#server.address() as AddressInfo;
    return `${this.#secure ? "https" : "http"}://${userinfo}localhost:${port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => this.#sockets.delete(socket));
    socket.once("data", (head: Buffer) => {
      const text = head.toString("latin1");
      this.requests.push(text);
      const target = /^CONNECT (\S+):(\d+) HTTP\/1\.1\r\n/.exec(text);
      if (target === null || this.answer !== undefined) {
        socket.end(this.answer ?? "HTTP/1.1 405 Method Not Allowed\r\n\r\n");
        return;
      }
      const onward = connect(Number(target[2]), target[1]);
      this.#sockets.add(onward);
      onward.on("error", () => socket.destroy());
      onward.on("close", () => socket.destroy());
      socket.on("close", () => onward.destroy());
      onward.on("connect", () => {
        socket.write("HTTP/1.1 200 OK\r\n\r\n");
        socket.pipe(onward).pipe(socket);
      });
    });
  }
}
