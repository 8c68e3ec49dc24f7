// The most recent requests, for a screen that shows them. Each costs one copy of its path into memory allocated in advance.

import type { AccessLogEntry } from "./access-log-entry.js";

/** Longer paths are truncated. */
const MAX_PATH_BYTES = 160;

/** A request that has ended. */
export interface RecentRequest {
  /** Milliseconds since 1970. */
  readonly endedMs: number;
  readonly endpointId: string;
  readonly method: string;
  /** Escaped as in JSON; may be truncated. */
  readonly path: string;
  readonly status: number;
  readonly durationMs: number;
  /** Why it failed; empty if it did not. */
  readonly reason: string;
}

interface Slot {
  endedMs: number;
  endpointId: string;
  method: string;
  status: number;
  durationMs: number;
  reason: string;
  pathBytes: number;
  readonly path: Buffer;
}

export class RecentRequests {
  readonly #slots: Slot[];
  /** The number of requests added so far. */
  #count = 0;

  /** @param capacity how many requests are kept */
  constructor(capacity: number) {
    this.#slots = Array.from({ length: capacity }, () => ({
      endedMs: 0,
      endpointId: "",
      method: "",
      status: 0,
      durationMs: 0,
      reason: "",
      pathBytes: 0,
      path: Buffer.alloc(MAX_PATH_BYTES),
    }));
  }

  add(
    { durationMs, method, reason, status, text }: AccessLogEntry,
    endpointId: string,
    endedMs: number,
  ): void {
    const slot = this.#slots[this.#count % this.#slots.length];
    if (slot === undefined) return;
    this.#count += 1;
    slot.endedMs = endedMs;
    slot.endpointId = endpointId;
    slot.method = method;
    slot.status = status;
    slot.durationMs = durationMs;
    slot.reason = reason?.code ?? "";
    slot.pathBytes = text.copyPath(slot.path);
  }

  /** The requests, newest first. */
  list(): RecentRequest[] {
    const kept = Math.min(this.#count, this.#slots.length);
    return Array.from({ length: kept }, (_, age) => {
      const slot = this.#slots[(this.#count - 1 - age) % this.#slots.length] as Slot;
      const { durationMs, endedMs, endpointId, method, reason, status } = slot;
      // Parsers accept only ASCII.
      const path = slot.path.toString("latin1", 0, slot.pathBytes);
      return { endedMs, endpointId, method, path, status, durationMs, reason };
    });
  }
}
