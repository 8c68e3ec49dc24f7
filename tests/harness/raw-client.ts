// A TCP client that sends exactly the bytes that it is given, and reads until a condition holds: for requests that no HTTP
// library would send, and details of answers that no library would show.

import { connect, type Socket } from "node:net";
import { PATIENCE_MS, within } from "./deadline.js";
import { parseResponse, type RawResponse } from "./raw-response.js";
import type { Stage } from "./stage.js";

export class RawClient {
  readonly socket: Socket;
  /** Bytes that were received and not yet taken. */
  buffer: Buffer = Buffer.alloc(0);
  /** The peer has ended its direction, or the connection is closed. */
  ended = false;
  error: Error | undefined;
  /** Resolves when the peer has ended its direction or the connection is closed. */
  readonly end: Promise<void>;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (piece: Buffer) => {
      this.buffer = Buffer.concat([this.buffer, piece]);
      this.#wake();
    });
    this.end = new Promise((resolve) => {
      const finish = (): void => {
        this.ended = true;
        this.#wake();
        resolve();
      };
      socket.on("end", finish);
      socket.on("close", finish);
    });
    socket.on("error", (error) => {
      this.error = error;
    });
  }

  /** Connects to `host:port`, from `localAddress` if given; the connection is closed with the stage. */
  static async connect(stage: Stage, address: string, localAddress?: string): Promise<RawClient> {
    const colon = address.lastIndexOf(":");
    const host = address.slice(0, colon);
    const port = Number(address.slice(colon + 1));
    const from = localAddress === undefined ? {} : { localAddress };
    const socket = connect({ host, port, allowHalfOpen: true, ...from });
    const client = new RawClient(socket);
    stage.defer(() => {
      socket.destroy();
    });
    await within(
      new Promise<void>((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("error", reject);
      }),
      `connection to ${address}`,
    );
    return client;
  }

  /** Sends bytes (strings as latin1) in one write. */
  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Waits until `count` bytes have been received, and takes them. */
  async take(count: number, ms: number = PATIENCE_MS): Promise<Buffer> {
    await this.#until(() => this.buffer.length >= count, `${count} bytes`, ms);
    return this.#cut(count);
  }

  /** Waits for the next response, interim or final, and takes it. `method` is the method of its request. */
  async response(method = "GET", ms: number = PATIENCE_MS): Promise<RawResponse> {
    let parsed = parseResponse(this.buffer, method, this.ended);
    const complete = (): boolean => {
      parsed = parseResponse(this.buffer, method, this.ended);
      return parsed !== undefined;
    };
    await this.#until(complete, "complete response", ms);
    if (parsed === undefined) throw new Error("unreachable");
    this.#cut(parsed.bytes);
    return parsed;
  }

  /** Waits for the peer's end, and takes all bytes that arrived before it. */
  async rest(ms: number = PATIENCE_MS): Promise<Buffer> {
    await within(
      this.end,
      `end of the connection after ${JSON.stringify(this.buffer.toString("latin1"))}`,
      ms,
    );
    return this.#cut(this.buffer.length);
  }

  async #until(holds: () => boolean, what: string, ms: number): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!holds()) {
        if (this.ended) throw new Error(`the connection ended instead of ${what}`);
        await new Promise<void>((resolve) => {
          this.#waiting.add(resolve);
        });
      }
    };
    try {
      await within(wait(), what, ms);
    } catch (error) {
      throw new Error(`${String(error)}; got ${this.#seen()}`, { cause: error });
    }
  }

  #seen(): string {
    return JSON.stringify(this.buffer.subarray(0, 500).toString("latin1"));
  }

  #cut(count: number): Buffer {
    const taken = this.buffer.subarray(0, count);
    this.buffer = this.buffer.subarray(count);
    return taken;
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}
