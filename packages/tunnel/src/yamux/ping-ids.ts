// The ids of a session's pings. Those of the keep-alive count from 0.

/** Those that doubt asks for. */
export const DOUBT_PING_ID = 0xffff_ffff;
/** The one that follows a GoAway. */
export const LEAVE_PING_ID = 0xffff_fffe;
/** Those that time the way to the peer and back. */
export const TIMED_PING_ID = 0xffff_fffd;
