// A tunnel and its streams in memory, as the calls of an exchange use them. The test plays the agent.

import { MAX_DATA_BYTES, type StreamHandler, type YamuxStream } from "@piko/tunnel";
import type { TenantUse } from "../src/server/upstream/tenant-use.js";
import type { Tunnel } from "../src/server/upstream/tunnel.js";

export class MemoryStream {
  handler: StreamHandler;
  refused = false;
  /** Its tunnel has gone with it. */
  lostWithSession = false;
  /** Its agent has not accepted it. */
  unacknowledged = false;
  /** Nothing of it is on the wire. */
  unsent = false;
  /** Bytes that it still takes. */
  room = Number.POSITIVE_INFINITY;
  written = "";
  /** How often something was written: frames, where there is room for all. */
  frames = 0;
  consumed = 0;
  /** What is reserved. */
  readonly slab: Buffer = Buffer.alloc(8 + MAX_DATA_BYTES);
  /** `end`, `end later`, `reset`, in order. */
  readonly calls: string[] = [];

  constructor(handler: StreamHandler) {
    this.handler = handler;
  }

  write(buffer: Buffer, start: number, end: number): number {
    const count = Math.min(this.room, end - start);
    this.room -= count;
    this.frames++;
    this.written += buffer.toString("latin1", start, start + count);
    return count;
  }

  writeBoth(head: Buffer, headEnd: number, buffer: Buffer, start: number, end: number): number {
    const taken = this.write(head, 0, headEnd);
    return taken < headEnd ? taken : taken + this.write(buffer, start, end);
  }

  reserve(count: number): number {
    return count <= this.room && count <= MAX_DATA_BYTES ? 8 : -1;
  }

  commit(start: number, end: number): void {
    this.write(this.slab, start, end);
  }

  consume(count: number): void {
    this.consumed += count;
  }

  end(later = false): void {
    this.calls.push(later ? "end later" : "end");
  }

  reset(): void {
    this.calls.push("reset");
  }

  flushFlags(): void {}

  // What the agent does.

  bring(text: string): void {
    const bytes = Buffer.from(`.${text}.`, "latin1");
    this.handler.onData(bytes, 1, bytes.length - 1);
    bytes.fill(0x58);
  }

  makeRoom(count = Number.POSITIVE_INFINITY): void {
    this.room = count;
    this.handler.onWritable();
  }

  asStream(): YamuxStream {
    return this as unknown as YamuxStream;
  }
}

export class MemoryTunnel {
  readonly endpointId: string;
  accepting = true;
  usable = true;
  drainable = true;
  doubtful = false;
  doubtSinceMs = 0;
  /** Whose it is, where tenants have limits. */
  tenant: TenantUse | undefined;
  streamCount = 0;
  turn = 0;
  /** The next stream can't be opened. */
  refuses = false;
  readonly streams: MemoryStream[] = [];

  constructor(endpointId: string) {
    this.endpointId = endpointId;
  }

  openStream(handler: StreamHandler): YamuxStream | undefined {
    if (this.refuses) return undefined;
    const stream = new MemoryStream(handler);
    this.streams.push(stream);
    return stream.asStream();
  }

  /** The stream that was opened last. */
  get stream(): MemoryStream {
    const stream = this.streams.at(-1);
    if (stream === undefined) throw new Error("no stream");
    return stream;
  }

  asTunnel(): Tunnel {
    return this as unknown as Tunnel;
  }
}
