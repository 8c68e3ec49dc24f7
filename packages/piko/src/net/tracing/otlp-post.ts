// One POST of a batch of spans to a collector: OTLP over HTTP with JSON (opentelemetry.io/docs/specs/otlp, OTLP/HTTP).

import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from "node:http";
import { Agent as HttpsAgent, request as requestHttps } from "node:https";
import type { TlsFiles } from "../tls-files.js";

/** The result of sending a batch. */
export type PostResult =
  /** `refused` is the number of spans that weren't accepted, and `error` the reason. */
  | { readonly kind: "taken"; readonly refused: number; readonly error: string }
  /** The batch may be accepted later; not before `afterMs`, if the collector asks for that. */
  | { readonly kind: "later"; readonly afterMs: number; readonly error: string }
  | { readonly kind: "refused"; readonly error: string };

/** `done` is called once. The returned function cancels the request. */
export type Post = (body: Buffer, done: (result: PostResult) => void) => () => void;

export interface OtlpPostOptions {
  readonly url: string;
  /** Each is `name=value`. */
  readonly headers: readonly string[];
  readonly timeoutMs: number;
  /** Called for each request, because the files may have been renewed. */
  readonly tls: (() => TlsFiles) | undefined;
  readonly version: string;
}

/** Maximum size of a response. */
const MAX_ANSWER_BYTES = 65_536;
/** Maximum length of the collector's messages in the log. */
const MAX_MESSAGE_CHARS = 200;
/** Maximum wait before a retry, even if the collector asks for more. */
const MAX_RETRY_AFTER_S = 60;

/** Makes POST requests, one at a time, over a connection that is kept open. `close` ends it. */
export function createOtlpPost(options: OtlpPostOptions): {
  readonly post: Post;
  readonly close: () => void;
} {
  const url = new URL(options.url);
  const secure = url.protocol === "https:";
  const agent = secure
    ? new HttpsAgent({ keepAlive: true, maxSockets: 1 })
    : new HttpAgent({ keepAlive: true, maxSockets: 1 });
  const fields = {
    "User-Agent": `piko/${options.version}`,
    ...Object.fromEntries(options.headers.map(splitHeader)),
    "Content-Type": "application/json",
  };
  const post: Post = (body, done) => {
    const headers = { ...fields, "Content-Length": body.length };
    const signal = AbortSignal.timeout(options.timeoutMs);
    const all = { method: "POST", agent, headers, signal };
    const request = secure ? requestHttps(url, { ...all, ...options.tls?.() }) : requestHttp(url, all);
    let over = false;
    const finish = (result: PostResult): void => {
      if (over) return;
      over = true;
      done(result);
    };
    const fail = (error: Error): void => {
      const text = signal.aborted ? `no answer within ${options.timeoutMs}ms` : error.message;
      finish({ kind: "later", afterMs: 0, error: text });
    };
    request.on("error", fail);
    request.on("response", (response) => readAnswer(response, finish, fail));
    request.end(body);
    return () => {
      over = true;
      request.destroy();
    };
  };
  return { post, close: () => agent.destroy() };
}

function splitHeader(header: string): readonly [string, string] {
  const at = header.indexOf("=");
  return [header.slice(0, at), header.slice(at + 1)];
}

function readAnswer(
  response: IncomingMessage,
  finish: (result: PostResult) => void,
  fail: (error: Error) => void,
): void {
  let text = "";
  response.setEncoding("utf8");
  response.on("data", (part: string) => {
    if (text.length + part.length > MAX_ANSWER_BYTES) response.destroy(new Error("answer is too long"));
    else text += part;
  });
  response.on("error", fail);
  response.on("end", () => finish(judge(response, text)));
}

function judge({ headers, statusCode = 0 }: IncomingMessage, text: string): PostResult {
  if (statusCode >= 200 && statusCode < 300) return { kind: "taken", ...refusedOf(text) };
  const error = `collector answers ${statusCode}`;
  // The statuses after which the specification allows a retry.
  if (![429, 502, 503, 504].includes(statusCode)) return { kind: "refused", error };
  const seconds = Number(headers["retry-after"] ?? 0);
  const afterMs = seconds > 0 ? Math.min(seconds, MAX_RETRY_AFTER_S) * 1_000 : 0;
  return { kind: "later", afterMs, error };
}

/** What a response reports about a batch that was accepted in part. */
function refusedOf(text: string): { refused: number; error: string } {
  let partial: { rejectedSpans?: unknown; errorMessage?: unknown } | undefined;
  try {
    ({ partialSuccess: partial } = JSON.parse(text) as { partialSuccess?: typeof partial });
  } catch {
    // A body is optional.
  }
  const refused = Number(partial?.rejectedSpans ?? 0);
  const error = typeof partial?.errorMessage === "string" ? partial.errorMessage : "";
  return { refused: refused > 0 ? refused : 0, error: error.slice(0, MAX_MESSAGE_CHARS) };
}
