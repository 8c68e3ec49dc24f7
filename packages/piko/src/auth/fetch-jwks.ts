// Fetches a key set over HTTP: one response of limited size and time, without following redirects.

import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Clock } from "@piko/tunnel";
import { dialAgent } from "../net/dial-agent.js";
import { MAX_JWKS_BYTES } from "./jwks.js";

/** Resolves to the body; rejects with the cause. `signal` cancels the fetch. */
export function fetchJwks(url: URL, timeoutMs: number, clock: Clock, signal: AbortSignal): Promise<Buffer> {
  const secure = url.protocol === "https:";
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
  const gone = new AbortController();
  return new Promise<Buffer>((resolve, reject) => {
    const outgoing = (secure ? httpsRequest : httpRequest)({
      host,
      port,
      path: `${url.pathname}${url.search}`,
      headers: { Host: url.host, Accept: "application/json, application/jwk-set+json" },
      agent: dialAgent({ host, port }, gone.signal, secure ? {} : undefined),
    });
    const finish = (outcome: () => void): void => {
      clock.clearTimeout(timer);
      signal.removeEventListener("abort", onAbort);
      outcome();
      outgoing.destroy();
      gone.abort();
    };
    const fail = (error: Error): void => finish(() => reject(error));
    const onAbort = (): void => fail(new Error("given up"));
    const timer = clock.setTimeout(() => fail(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    signal.addEventListener("abort", onAbort, { once: true });
    outgoing.on("error", fail);
    outgoing.once("response", (incoming: IncomingMessage) => {
      const { statusCode = 0 } = incoming;
      const redirected = statusCode >= 300 && statusCode < 400;
      if (statusCode !== 200) {
        fail(new Error(`status ${statusCode}${redirected ? " (redirects are not followed)" : ""}`));
        return;
      }
      const parts: Buffer[] = [];
      let length = 0;
      incoming.on("data", (part: Buffer) => {
        parts.push(part);
        length += part.length;
        if (length > MAX_JWKS_BYTES) fail(new Error(`larger than ${MAX_JWKS_BYTES} bytes`));
      });
      incoming.once("error", fail);
      incoming.once("end", () => finish(() => resolve(Buffer.concat(parts))));
    });
    outgoing.once("close", () => fail(new Error("closed before the answer was complete")));
    outgoing.end();
  });
}
