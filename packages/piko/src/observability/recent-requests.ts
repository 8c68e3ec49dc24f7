// The last requests, for a screen that shows them. A request costs a copy of its path into memory that is there already.

import type { AccessLogEntry } from "./access-log-entry.js";

/** Longer paths are cut. */
const MAX_PATH_BYTES = 160;

/** A request that is over. */
export interface RecentRequest {
  /** Milliseconds since 1970. */
  readonly endedMs: number;
  readonly endpointId: string;
  readonly method: string;
  /** As JSON escapes it; may be cut. */
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
  /** All that were added. */
  #count = 0;

  /** `capacity`: how many are kept. */
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

  /** The newest first. */
  list(): RecentRequest[] {
    const kept = Math.min(this.#count, this.#slots.length);
    return Array.from({ length: kept }, (_, age) => {
      const slot = this.#slots[(this.#count - 1 - age) % this.#slots.length] as Slot;
      const { durationMs, endedMs, endpointId, method, reason, status } = slot;
      // Parsers let nothing but ASCII through.
      const path = slot.path.toString("latin1", 0, slot.pathBytes);
      return { endedMs, endpointId, method, path, status, durationMs, reason };
    });
  }
}
