// Where a request goes: the proxy's own paths, or the endpoint that it names.

import { FIELD_UPGRADE } from "../../http/field-names.js";
import { findField } from "../../http/find-field.js";
import type { RequestHead } from "../../http/head.js";
import { isSameOrigin } from "../../http/origin.js";
import type { ClientConnection } from "./client-connection.js";
import { endpointIdOf } from "./endpoint-id.js";
import { MAX_ENDPOINT_ID_BYTES, parseEndpointId } from "../upstream/endpoint-id.js";
import { ENDPOINT_ID } from "./proxy-limits.js";
import { openTcpTunnel } from "./tcp-tunnel.js";

const SLASH = 0x2f;
const UNDERSCORE = 0x5f;
const ASTERISK = 0x2a;
const TCP_PATH = /^\/_piko\/v1\/tcp\/([^/?]+)$/;

/** Starts the exchange for a request whose head was just parsed. */
export function routeRequest(connection: ClientConnection, head: RequestHead): void {
  const { exchange } = connection;
  const first = head.buffer[head.pathStart];
  if (first === SLASH && head.buffer[head.pathStart + 1] === UNDERSCORE) {
    const path = head.buffer.toString("latin1", head.pathStart, head.pathEnd);
    if (isReserved(path)) {
      routeReserved(connection, head, path);
      return;
    }
  } else if (first === ASTERISK) {
    // RFC 9110 section 9.3.7: a question about the server itself.
    exchange.answerOptions(head);
    return;
  }
  const endpointId = endpointIdOf(head, connection.lastEndpointId);
  if (endpointId === "") {
    exchange.respondError(head, 400, "missing endpoint id");
    return;
  }
  // An agent can't listen on it, and the cluster has no room for it.
  if (endpointId.length > MAX_ENDPOINT_ID_BYTES) connection.refuse(head, ENDPOINT_ID);
  else {
    connection.lastEndpointId = endpointId;
    exchange.begin(head, endpointId);
  }
}

function isReserved(path: string): boolean {
  return path.startsWith("/_piko") && (path.length === 6 || path[6] === "/" || path[6] === "?");
}

/** Nothing under `/_piko` reaches a service. */
function routeReserved(connection: ClientConnection, head: RequestHead, path: string): void {
  const { exchange } = connection;
  const query = path.indexOf("?");
  const match = TCP_PATH.exec(query < 0 ? path : path.slice(0, query));
  const endpointId = match === null ? undefined : parseEndpointId(match[1] ?? "");
  if (match === null) exchange.respondError(head, 404, "not found");
  else if (head.method !== "GET") exchange.respondError(head, 405, "method not allowed", "Allow: GET\r\n");
  else if (!isWebSocketUpgrade(head)) {
    exchange.respondError(head, 426, "websocket upgrade required", "Upgrade: websocket\r\n");
  } else if (!isSameOrigin(head)) exchange.respondError(head, 403, "foreign origin");
  else if (endpointId === undefined) connection.refuse(head, ENDPOINT_ID);
  else openTcpTunnel(connection, head, endpointId);
}

function isWebSocketUpgrade(head: RequestHead): boolean {
  return head.upgrade && findField(head, FIELD_UPGRADE)?.toLowerCase() === "websocket";
}
