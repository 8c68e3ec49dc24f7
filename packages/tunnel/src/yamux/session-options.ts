// The options of a session: defaults, and which combinations are invalid.

import type { Clock } from "../clock.js";
import type { Outbox } from "../socket/outbox.js";
import { LAST_STREAM_ID } from "./frame.js";
import type { SessionHandler } from "./session-handler.js";

export interface SessionOptions {
  /** Clients open streams with odd ids, servers with even ones. In Piko the server process is "server". */
  role: "client" | "server";
  out: Outbox;
  clock: Clock;
  handler: SessionHandler;
  /** Milliseconds between pings; must be more than the timeout. */
  keepAliveIntervalMs?: number;
  /** Timeout for a ping's answer, in milliseconds. */
  keepAliveTimeoutMs?: number;
  /** Whether the peer continues to send after our FIN; Go peers close the stream then, and log frames that arrive later. */
  peerHalfCloses?: boolean;
  /** Maximum number of open streams of the peer. */
  maxPeerStreams?: number;
  /** Id of our first stream, with the role's parity. */
  firstStreamId?: number;
}

export const KEEP_ALIVE_INTERVAL_MS = 30_000;
export const KEEP_ALIVE_TIMEOUT_MS = 10_000;
const MAX_PEER_STREAMS = 16_384;

/** Completes the options with their defaults. Throws a RangeError that names an invalid value. */
export function completeOptions(options: SessionOptions): Required<SessionOptions> {
  const parity = options.role === "client" ? 1 : 2;
  const complete = {
    ...options,
    keepAliveIntervalMs: options.keepAliveIntervalMs ?? KEEP_ALIVE_INTERVAL_MS,
    keepAliveTimeoutMs: options.keepAliveTimeoutMs ?? KEEP_ALIVE_TIMEOUT_MS,
    peerHalfCloses: options.peerHalfCloses ?? true,
    maxPeerStreams: options.maxPeerStreams ?? MAX_PEER_STREAMS,
    firstStreamId: options.firstStreamId ?? parity,
  };
  const { keepAliveIntervalMs, keepAliveTimeoutMs, maxPeerStreams, firstStreamId } = complete;
  // Negated, to catch NaN.
  if (!(keepAliveTimeoutMs > 0))
    throw new RangeError(`keepAliveTimeoutMs: ${keepAliveTimeoutMs}: want more than 0`);
  if (!(keepAliveIntervalMs > keepAliveTimeoutMs)) {
    throw new RangeError(
      `keepAliveIntervalMs: ${keepAliveIntervalMs}: want more than keepAliveTimeoutMs, which is ${keepAliveTimeoutMs}`,
    );
  }
  if (!Number.isInteger(maxPeerStreams) || maxPeerStreams < 0) {
    throw new RangeError(`maxPeerStreams: ${maxPeerStreams}: want a whole number from 0`);
  }
  if (
    !Number.isInteger(firstStreamId) ||
    firstStreamId < parity ||
    firstStreamId > LAST_STREAM_ID ||
    firstStreamId % 2 !== parity % 2
  ) {
    const kind = parity === 1 ? "odd" : "even";
    throw new RangeError(
      `firstStreamId: ${firstStreamId}: want an ${kind} number from ${parity} to ${LAST_STREAM_ID}`,
    );
  }
  return complete;
}
