// Errors of gossip as one table of codes. Thrown to callers (for a local entry, a join); an invalid message of a peer never
// affects more than the packet that it came in.

/** Codes of {@link GossipError}; stable, for programs to branch on. */
const GOSSIP_ERRORS = {
  PIKO_GOSSIP_BAD_MESSAGE: "a peer's message is not valid",
  PIKO_GOSSIP_TRUNCATED: "a message ends in the middle of a value",
  PIKO_GOSSIP_ENTRY_TOO_LARGE: "a key and its value do not fit into one packet",
  PIKO_GOSSIP_RESERVED_KEY: "a key belongs to the protocol",
  PIKO_GOSSIP_MESSAGE_TOO_LARGE: "a message over TCP is longer than the limit",
  PIKO_GOSSIP_UNREACHABLE: "there is nothing at a node's address: its host refuses TCP or is not there",
  PIKO_GOSSIP_TIMEOUT: "a node did not answer over TCP in time",
  PIKO_GOSSIP_EXCHANGE: "an exchange over TCP broke off",
  PIKO_GOSSIP_LISTEN: "the gossip port could not be bound",
  PIKO_GOSSIP_CANCELLED: "an exchange was given up",
  PIKO_GOSSIP_BAD_ADDRESS: "a join address is not an address",
  PIKO_GOSSIP_RESOLVE: "a join address could not be resolved",
  PIKO_GOSSIP_REFUSED: "a node did not take this one's message, or this one its answer: keys differ",
  PIKO_GOSSIP_CLOCK: "a node did not take this one's message, since their clocks differ",
  PIKO_GOSSIP_ID_IN_USE: "another node has the same id",
} as const;

/** One of the keys of {@link GOSSIP_ERRORS}. */
export type GossipErrorCode = keyof typeof GOSSIP_ERRORS;

/** Why a local entry, a message or an exchange was rejected or failed. */
export class GossipError extends Error {
  /** Stable code; branch on this, not on the text. */
  readonly code: GossipErrorCode;

  constructor(code: GossipErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "GossipError";
    this.code = code;
  }
}
