// The ids of a session's pings. Those of the keep-alive count from 0.

/** Pings sent because of doubt. */
export const DOUBT_PING_ID = 0xffff_ffff;
/** The ping that follows a GoAway. */
export const LEAVE_PING_ID = 0xffff_fffe;
/** Pings that measure the round-trip time. */
export const TIMED_PING_ID = 0xffff_fffd;
