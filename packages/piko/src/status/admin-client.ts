// Queries the admin port of a node. Every failure is reported in one line, with a hint if possible.

import { errorText, readToken, type Token } from "@piko/client/internal";
import { systemClock } from "@piko/tunnel";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { visibleText } from "../base/visible-text.js";
import type { StatusConfig } from "../config/status.js";
import { dialAgent } from "../net/dial-agent.js";
import { readTlsFiles, type TlsFiles } from "../net/tls-files.js";
import { tokenSource } from "../net/token-source.js";

const TIMEOUT_MS = 15_000;
/** Enough for a hundred thousand endpoints with long names. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Maximum size of an error from a server, which is JSON; larger ones aren't shown. */
const MAX_ERROR_BYTES = 1_024;

/** Node's error codes for certificates of an unknown authority. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** The error for a query without a usable response. */
export class StatusError extends Error {
  readonly code = "PIKO_STATUS_FAILED";

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StatusError";
  }
}

export class AdminClient {
  readonly #config: StatusConfig;
  readonly #tls: TlsFiles | undefined;
  readonly #token: Token | undefined;
  readonly #timeoutMs: number;

  /** @throws Error that names a TLS file which can't be used. */
  constructor(config: StatusConfig, timeoutMs: number = TIMEOUT_MS) {
    this.#config = config;
    this.#timeoutMs = timeoutMs;
    this.#token = tokenSource(config.server);
    this.#tls = config.server.url.startsWith("https:")
      ? readTlsFiles(config.server.tls, "the admin port")
      : undefined;
  }

  /**
   * Returns the JSON at a path. `nodeId` is the node named in the path, if there is one.
   *
   * @throws StatusError, or the signal's reason if it was aborted.
   */
  async get(
    path: string,
    nodeId: string,
    signal: AbortSignal,
    forward: string = this.#config.forward,
  ): Promise<unknown> {
    const { server } = this.#config;
    const query = forward === "" ? "" : `?forward=${encodeURIComponent(forward)}`;
    // AbortSignal.timeout counts the time that a laptop is asleep, so a server that has answered could seem silent.
    const timeout = new AbortController();
    const timer = systemClock.setTimeout(() => timeout.abort(), this.#timeoutMs);
    let response: IncomingMessage;
    let body: string;
    try {
      response = await this.#send(`${server.url}${path}${query}`, AbortSignal.any([signal, timeout.signal]));
      body = await readBody(response);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof StatusError) throw error;
      const reason = timeout.signal.aborted ? `no answer in ${this.#timeoutMs / 1_000} s` : reasonOf(error);
      throw new StatusError(`${server.url}: ${reason}`, { cause: error });
    } finally {
      systemClock.clearTimeout(timer);
    }
    const status = response.statusCode ?? 0;
    if (status !== 200) throw new StatusError(this.#describe(status, body, nodeId));
    try {
      return JSON.parse(body);
    } catch (error) {
      throw new StatusError(notAdmin(server.url), { cause: error });
    }
  }

  async #send(url: string, signal: AbortSignal): Promise<IncomingMessage> {
    const token = await readToken(this.#token);
    const headers = token === "" ? {} : { authorization: `Bearer ${token}` };
    return await new Promise((resolve, reject) => {
      const { hostname, port, protocol } = new URL(url);
      const secure = protocol === "https:";
      const host = hostname.replace(/^\[|\]$/g, "");
      const target = { host, port: port === "" ? (secure ? 443 : 80) : Number(port) };
      const agent = dialAgent(target, signal, this.#tls);
      const request = (secure ? httpsRequest : httpRequest)(url, { agent, headers, signal }, resolve);
      request.on("error", reject).end();
    });
  }

  #describe(status: number, body: string, nodeId: string): string {
    const { forward, server } = this.#config;
    const ids = [nodeId, forward].filter((id) => id !== "");
    // For a missing page, the response has a text; for a missing node, it is empty.
    if (status === 404 && body === "" && ids.length > 0) return `${server.url}: no node ${ids.join(" or ")}`;
    const reason = findReason(body);
    const said = `bad status: ${status}${reason === undefined ? "" : ` (${reason})`}`;
    if (status === 401)
      return `${server.url}: ${said}; set a token with --server.token-file or PIKO_SERVER_TOKEN`;
    return `${server.url}: ${said}`;
  }
}

/** The error text for a response that isn't from an admin port. */
export function notAdmin(url: string): string {
  return `${url}: not the answer of a piko server; is this its admin port?`;
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response) {
    size += (chunk as Buffer).length;
    if (size > MAX_ANSWER_BYTES) throw new StatusError(`answer of more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString();
}

/** The reason in an error body of the form `{"error":"..."}`. */
function findReason(body: string): string | undefined {
  if (body.length > MAX_ERROR_BYTES) return undefined;
  try {
    const { error } = JSON.parse(body) as { error?: unknown };
    return typeof error === "string" ? visibleText(error) : undefined;
  } catch {
    return undefined;
  }
}

/** A short reason, because `connect ECONNREFUSED ::1:8002; connect ECONNREFUSED 127.0.0.1:8002` is hard to read. */
function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "ECONNREFUSED") return "connection refused; is a server running there?";
  if (code === "ENOTFOUND") return "no such host";
  if (UNTRUSTED.has(code ?? "")) {
    return `${errorText(error)}; set --server.tls.root-cas to the authorities to trust`;
  }
  return errorText(error);
}
