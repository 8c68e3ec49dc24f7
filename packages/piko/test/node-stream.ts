// A node's end of a stream whose other end is an agent's: the test decides what it sends, and reads what is answered.

import type { StreamHandler, YamuxStream } from "@piko/tunnel";

/** A node's side of one stream. */
export class NodeStream implements StreamHandler {
  stream: YamuxStream | undefined;
  readonly #chunks: Buffer[] = [];
  bytes = 0;
  ended = false;
  reset = false;
  /** If false, the window stays closed. */
  reading = true;
  /** Gets the bytes, which are then not collected. */
  onBytes: ((bytes: Buffer) => void) | undefined;
  #unconsumed = 0;
  #queue: Buffer[] = [];
  #endWanted = false;
  #waiters: (() => void)[] = [];

  get text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  /** Bytes that the stream hasn't accepted yet. */
  get queuedBytes(): number {
    return this.#queue.reduce((sum, piece) => sum + piece.length, 0);
  }

  write(data: string | Buffer): this {
    this.#queue.push(Buffer.from(data as string, "latin1"));
    this.#pump();
    return this;
  }

  end(): this {
    this.#endWanted = true;
    this.#pump();
    return this;
  }

  resume(): void {
    this.reading = true;
    this.stream?.consume(this.#unconsumed);
    this.#unconsumed = 0;
  }

  /** Resolves when `done` returns true; it is called for each event. */
  async until(done: (stream: NodeStream) => boolean): Promise<this> {
    while (!done(this)) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    return this;
  }

  /** Resolves when the stream has ended or was reset; ends it on this side too, as nodes do. */
  async over(): Promise<this> {
    await this.until((stream) => stream.ended || stream.reset);
    return this.end();
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.bytes += end - start;
    const piece = Buffer.from(buffer.subarray(start, end));
    if (this.onBytes === undefined) this.#chunks.push(piece);
    else this.onBytes(piece);
    if (this.reading) this.stream?.consume(end - start);
    else this.#unconsumed += end - start;
    this.#wake();
  }

  onEnd(): void {
    this.ended = true;
    this.#wake();
  }

  onWritable(): void {
    this.#pump();
  }

  onReset(): void {
    this.reset = true;
    this.#wake();
  }

  #pump(): void {
    const { stream } = this;
    if (stream === undefined) return;
    for (let piece = this.#queue[0]; piece !== undefined; piece = this.#queue[0]) {
      const taken = stream.write(piece, 0, piece.length);
      if (taken < piece.length) {
        this.#queue[0] = piece.subarray(taken);
        break;
      }
      this.#queue.shift();
    }
    if (this.#endWanted && this.#queue.length === 0) stream.end();
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}
