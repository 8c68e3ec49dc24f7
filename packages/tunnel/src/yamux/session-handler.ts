// The events that a session reports to its owner.

import type { TunnelError } from "../errors.js";
import type { StreamHandler, YamuxStream } from "./stream.js";

/** The events that the owner of a session receives. */
export interface SessionHandler {
  /** The peer opened a stream; return its handler, or undefined to refuse it (RST). */
  onStream(stream: YamuxStream): StreamHandler | undefined;
  /** GoAway(0): the peer accepts no new streams; those in progress continue. Or: stream ids run out, open a new session. */
  onGoAway(): void;
  /** The peer has read the GoAway of `leave`, and opens no stream after those that have come. */
  onLeaveHeard?(): void;
  /** The last stream is over, or the socket has drained while none is open. Look again later: more may come at once. */
  onIdle?(): void;
  /** The session has ended: nothing is sent or received any more. Its streams are informed next. Exactly once. */
  onEnded?(): void;
  /** The session has to end for `error`: every stream has been informed; the owner closes the transport. Exactly once. */
  onFailed(error: TunnelError): void;
}
