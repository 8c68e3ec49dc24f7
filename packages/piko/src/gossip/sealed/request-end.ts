// Finds the end of a TCP request, plain or encrypted. A request that will be refused ends where that becomes known.

import type { MessageEnd } from "../protocol/transport.js";
import { isSealed } from "./envelope.js";
import type { Opener } from "./opener.js";
import { isInRecords, RequestRecords } from "./records.js";

export interface RequestEndOptions {
  /** Creates a {@link MessageEnd} for plain requests; undefined if they aren't accepted. */
  readonly plain: (() => MessageEnd) | undefined;
  /** Opens sealed requests; undefined if they aren't accepted. */
  readonly opener: Opener | undefined;
}

export class RequestEnd implements MessageEnd {
  readonly #options: RequestEndOptions;
  #plain: MessageEnd | undefined;
  /** The records of a sealed request that have arrived; undefined for a plain one, or another version. */
  records: RequestRecords | undefined;

  constructor(options: RequestEndOptions) {
    this.#options = options;
  }

  find(bytes: Buffer, end: number): number | undefined {
    const inRecords = isInRecords(bytes, end);
    if (end === 0 || inRecords === undefined) return undefined;
    const { opener, plain } = this.#options;
    if (isSealed(bytes)) {
      if (opener === undefined || !inRecords) return end;
      this.records ??= new RequestRecords(opener);
      return this.records.find(bytes, end);
    }
    this.#plain ??= plain?.();
    return this.#plain === undefined ? end : this.#plain.find(bytes, end);
  }
}
