// `/metrics`, on a node's admin port and on an agent's metrics port.

import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { type Metrics, METRICS_TYPE } from "../observability/metrics.js";
import { type Route, send } from "./route-server.js";

/**
 * The route of `/metrics`. All requests in one turn of the event loop share one text, which is made at the end of the turn. The
 * response is compressed with gzip if the client accepts that.
 */
export function metricsRoute(metrics: Metrics): Route {
  let next: Promise<string> | undefined;
  return async (response) => {
    next ??= new Promise((resolve) => {
      // oxlint-disable-next-line no-restricted-globals -- the end of this turn: all requests in it share one text
      setImmediate(() => {
        next = undefined;
        resolve(metrics.text());
      });
    });
    const text = await next;
    const fields = { "Content-Type": METRICS_TYPE, Vary: "Accept-Encoding" };
    if (!takesGzip(response.req.headers["accept-encoding"])) {
      send(response, 200, fields, text);
      return;
    }
    const bytes = await compress(text);
    response
      .writeHead(200, { ...fields, "Content-Encoding": "gzip", "Content-Length": bytes.length })
      .end(bytes);
  };
}

const compress = promisify<string, Buffer>(gzip);

/** Whether Accept-Encoding allows gzip (RFC 9110 section 12.5.3). */
function takesGzip(accepted: string | string[] = ""): boolean {
  return String(accepted)
    .split(",")
    .some((coding) => /^\s*(x-)?gzip\s*(;\s*q\s*=\s*(1(\.0*)?|0?\.0*[1-9]\d*))?\s*$/i.test(coding));
}
