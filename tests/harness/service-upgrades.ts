// The upgrade side of the sample service: it accepts any protocol, sends what the test specifies, and records every byte it
// receives, beginning with those in the segment of the request's head.

import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { within } from "./deadline.js";

/** One upgraded connection. */
export interface Upgrade {
  readonly url: string;
  readonly headers: Readonly<IncomingMessage["headers"]>;
  readonly socket: Duplex;
  /** Every byte after the request's head. */
  received: Buffer;
  /** The peer has ended its direction, or the connection is closed. */
  ended: boolean;
}

/** All upgraded connections of a service. */
export class ServiceUpgrades {
  readonly all: Upgrade[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(server: Server) {
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#take(request, socket, head);
    });
  }

  /** Waits until `holds` for the connection whose URL begins with `prefix`. */
  until(prefix: string, holds: (upgrade: Upgrade) => boolean = () => true, ms?: number): Promise<Upgrade> {
    return within(this.#find(prefix, holds), `expected upgrade of ${prefix} at the service`, ms);
  }

  closeAll(): void {
    for (const { socket } of this.all) socket.destroy();
  }

  async #find(prefix: string, holds: (upgrade: Upgrade) => boolean): Promise<Upgrade> {
    for (;;) {
      const found = this.all.find((upgrade) => upgrade.url.startsWith(prefix) && holds(upgrade));
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  /**
   * Ends when its peer does, after sending ?farewell=. ?delay= delays the 101 by this many milliseconds, ?hang never sends
   * it; ?greeting= is sent in the same segment as the 101; ?echo echoes everything; ?refuse=403 answers with this status
   * instead.
   */
  #take(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = request.url ?? "";
    const query = new URL(url, "http://service").searchParams;
    const upgrade: Upgrade = { url, headers: request.headers, socket, received: head, ended: false };
    let accepted = false;
    const accept = (): void => {
      accepted = true;
      const protocol = request.headers.upgrade ?? "";
      const answer = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
      socket.write(answer + (query.get("greeting") ?? ""));
      if (query.has("echo")) socket.write(upgrade.received);
    };
    this.all.push(upgrade);
    socket.on("error", () => {});
    const refuse = query.get("refuse");
    if (refuse !== null) {
      socket.end(`HTTP/1.1 ${refuse} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno`);
      return;
    }
    socket.on("data", (piece: Buffer) => {
      upgrade.received = Buffer.concat([upgrade.received, piece]);
      if (accepted && query.has("echo")) socket.write(piece);
      this.#wake();
    });
    const onEnd = (): void => {
      upgrade.ended = true;
      socket.end(query.get("farewell") ?? "");
      this.#wake();
    };
    socket.on("end", onEnd);
    socket.on("close", onEnd);
    const delayMs = Number(query.get("delay") ?? 0);
    if (delayMs > 0) setTimeout(accept, delayMs);
    else if (!query.has("hang")) accept();
    this.#wake();
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
