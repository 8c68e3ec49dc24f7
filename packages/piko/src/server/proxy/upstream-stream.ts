// What carries one request to an upstream: a stream of an agent's tunnel, or a connection to another node.

import type { StreamHandler } from "@piko/tunnel";

/** The part of YamuxStream that the proxy uses; see there for what the calls mean. */
export interface UpstreamStream {
  handler: StreamHandler;
  /** It failed before the upstream could have seen the request. */
  readonly refused: boolean;
  /** It failed because the upstream had closed a kept connection: the same upstream may be asked again. */
  readonly stale?: boolean;
  write(buffer: Buffer, start: number, end: number): number;
  consume(count: number): void;
  end(later?: boolean): void;
  reset(): void;
  flushFlags(): void;
  /** In place of `end` when the response is whole: whether the upstream keeps the connection for another request. */
  release?(reusable: boolean): void;
}
