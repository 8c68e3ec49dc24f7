// The own answers of proxy and agent: a status, a JSON error, nothing else. All of it is ASCII.

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** `HTTP/1.1 <status> <reason>` with its CRLF. */
export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${REASONS[status] ?? "Error"}\r\n`;
}

/** Options of {@link errorResponse}. */
export interface ErrorResponse {
  status: number;
  /** Text for `{"error":...}`. */
  message: string;
  /** A whole `Date` line; absent where the next hop adds one. */
  dateLine?: Buffer;
  /** Adds `Connection: close`. */
  close: boolean;
  /** The answer to a HEAD request has no body. */
  headOnly: boolean;
  /** Further field lines, each with its CRLF. */
  extra?: string;
}

/** The body of an answer with this text. */
export function errorBody(message: string): string {
  return `${JSON.stringify({ error: message })}\n`;
}

/** The whole response, in ASCII. */
export function errorResponse(options: ErrorResponse): string {
  const body = errorBody(options.message);
  return (
    `${statusLine(options.status)}Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n${options.dateLine?.toString("latin1") ?? ""}${options.extra ?? ""}` +
    `${options.close ? "Connection: close\r\n" : ""}\r\n${options.headOnly ? "" : body}`
  );
}

/** A whole 200 without a body. */
export function emptyResponse(dateLine: Buffer, close: boolean): string {
  const connection = close ? "Connection: close\r\n" : "";
  return `${statusLine(200)}Content-Length: 0\r\n${dateLine.toString("latin1")}${connection}\r\n`;
}
