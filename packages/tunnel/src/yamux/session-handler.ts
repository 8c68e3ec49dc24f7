// The events that a session reports to its owner.

import type { TunnelError } from "../errors.js";
import type { StreamHandler, YamuxStream } from "./stream.js";

/** The events that the owner of a session receives. */
export interface SessionHandler {
  /** The peer opened a stream; return its handler, or undefined to refuse it (RST). */
  onStream(stream: YamuxStream): StreamHandler | undefined;
  /** GoAway(0): the peer accepts no new streams; those in progress continue. Also called if stream ids run out: open a new session. */
  onGoAway(): void;
  /** The peer has read the GoAway of `leave`, and opens no streams beyond those that have arrived. */
  onLeaveHeard?(): void;
  /** The last stream has ended, or the socket has drained while no stream is open. Check again later: more streams may arrive at once. */
  onIdle?(): void;
  /** The session has ended: nothing is sent or received any more. Its streams are notified next. Exactly once. */
  onEnded?(): void;
  /** The session has to end because of `error`: every stream has been notified; the owner closes the transport. Exactly once. */
  onFailed(error: TunnelError): void;
}
