// All failures of connecting, listening and dialling, as one table of codes.

/** Codes of {@link ClientError}; stable, so programs can check them. */
export const CLIENT_ERRORS = {
  PIKO_CLIENT_BAD_OPTION: "an option or argument is invalid",
  PIKO_CLIENT_TOKEN: "the token function failed",
  PIKO_CLIENT_CONNECT: "no connection to the server, or it was lost before the server answered",
  PIKO_CLIENT_TIMEOUT: "the server did not answer in time",
  PIKO_CLIENT_PROXY: "the HTTP proxy refused to connect to the server",
  PIKO_CLIENT_REFUSED: "the server refused, with an HTTP status",
  PIKO_CLIENT_BAD_RESPONSE: "the response is not HTTP, or too long",
  PIKO_CLIENT_BAD_HANDSHAKE: "the server answered the upgrade incorrectly: it isn't a Piko server",
  PIKO_CLIENT_RESET: "the connection was cut off by the peer or with its tunnel",
  PIKO_CLIENT_CLOSED: "the listener is closed",
} as const;

/** One of the keys of {@link CLIENT_ERRORS}. */
export type ClientErrorCode = keyof typeof CLIENT_ERRORS;

/** HTTP statuses after which the same attempt may succeed later. */
const RETRYABLE_STATUSES: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Whether an attempt that was refused with this status may succeed later. */
export function isRetryableStatus(status: number): boolean {
  return RETRYABLE_STATUSES.has(status);
}

/** The error that this package throws, rejects with, and destroys connections with. Its text never contains a secret. */
export class ClientError extends Error {
  /** Stable code; check this, not the text. */
  readonly code: ClientErrorCode;
  /** HTTP status of a refusal. */
  readonly status: number | undefined;
  /** For a refusal with status 409: the node that already has a tunnel of the same listener. */
  readonly nodeId: string | undefined;
  /** Whether the same attempt may succeed later. */
  readonly retryable: boolean;

  constructor(
    code: ClientErrorCode,
    message: string,
    options: { cause?: unknown; status?: number; nodeId?: string | undefined; retryable?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ClientError";
    this.code = code;
    this.status = options.status;
    this.nodeId = options.nodeId;
    this.retryable = options.retryable ?? false;
  }
}

/** The text of anything that was thrown, including the errors inside an AggregateError without a message. */
export function errorText(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(errorText).join("; ");
  return error instanceof Error ? error.message : String(error);
}

/**
 * No attempt succeeded; the last one failed with `cause`. `triedMs` is the time that actually passed; the next attempt would
 * have begun too late.
 */
export function notConnected(triedMs: number, cause: ClientError): ClientError {
  const message = `not connected after ${(triedMs / 1_000).toFixed(1)} s: ${cause.message}`;
  return new ClientError("PIKO_CLIENT_TIMEOUT", message, {
    cause,
    retryable: true,
    ...(cause.status === undefined ? {} : { status: cause.status }),
  });
}

/** The error for a call on something that is closed. */
export function closedError(message: string): ClientError {
  return new ClientError("PIKO_CLIENT_CLOSED", message);
}
