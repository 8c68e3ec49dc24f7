// A tunnel and its streams in memory, for the calls of an exchange. The test plays the agent.

import { MAX_DATA_BYTES, type StreamHandler, type YamuxStream } from "@piko/tunnel";
import type { TenantUse } from "../src/server/upstream/tenant-use.js";
import type { Tunnel } from "../src/server/upstream/tunnel.js";

export class MemoryStream {
  handler: StreamHandler;
  refused = false;
  /** Whether its tunnel was lost too. */
  lostWithSession = false;
  /** Whether its agent hasn't accepted it. */
  unacknowledged = false;
  /** Whether nothing of it has been sent yet. */
  unsent = false;
  /** Number of bytes that it still accepts. */
  room = Number.POSITIVE_INFINITY;
  written = "";
  /** Number of writes; each is one frame if there is room for it. */
  frames = 0;
  consumed = 0;
  /** Memory for `reserve`. */
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

  deliver(text: string): void {
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
  /** The tenant that the tunnel belongs to, if tenants have limits. */
  tenant: TenantUse | undefined;
  streamCount = 0;
  turn = 0;
  /** Whether opening the next stream fails. */
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

  /** The latest stream. */
  get stream(): MemoryStream {
    const stream = this.streams.at(-1);
    if (stream === undefined) throw new Error("no stream");
    return stream;
  }

  asTunnel(): Tunnel {
    return this as unknown as Tunnel;
  }
}
