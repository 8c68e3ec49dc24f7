// A connection to the upstream port before it becomes a tunnel: reads one upgrade request and answers it.

import { ByteSocket, type Clock, isValidKey, type SocketHandler, switchingProtocols } from "@piko/tunnel";
import type { Socket } from "node:net";
import type { Authorizer } from "../../auth/authorizer.js";
import type { Identity } from "../../auth/identity.js";
import { REFUSED, type Refusal as AuthRefusal } from "../../auth/refusal.js";
import type { Waiter } from "../../auth/verification-queue.js";
import type { UpstreamLimitsConfig } from "../../config/server.js";
import type { DateLine } from "../../http/date-line.js";
import { HTTP_ERRORS } from "../../http/errors.js";
import {
  FIELD_SEC_WEBSOCKET_KEY,
  FIELD_SEC_WEBSOCKET_VERSION,
  FIELD_UPGRADE,
  FIELD_X_PIKO_TENANT_ID,
} from "../../http/field-names.js";
import { CredentialFields, valueOf } from "../../http/credential-fields.js";
import { findField, findNamedField } from "../../http/find-field.js";
import { isSameOrigin } from "../../http/origin.js";
import { END_INVALID, END_UNKNOWN, HeadEndFinder } from "../../http/h1/find-head-end.js";
import { HEAD_COMPLETE, type RequestHead } from "../../http/head.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { REFUSED_PATIENCE_MS } from "../../net/accept/refused-connection.js";
import { type ByteBudget, SMALL_HEAD_BYTES } from "../../net/byte-budget.js";
import { ByteStore } from "../../net/byte-store.js";
import { deadlineAfter, type DeadlineSweep, type Expiring } from "../../net/deadline-sweep.js";
import { errorResponse } from "../../http/h1/error-response.js";
import { HANDSHAKE_RECORD } from "../../net/accept/tls-on-plain-port.js";
import { certificateSubject } from "../../net/accept/authorities.js";
import type { Logger } from "../../observability/logger.js";
import { MAX_ENDPOINT_ID_BYTES, parseEndpointId } from "./endpoint-id.js";
import { hashInstance } from "./hash-instance.js";
import { isInstance, MAX_INSTANCE_BYTES } from "./instances.js";
import type { PublicAddress } from "./public-address.js";
import type { TenantUse } from "./tenant-use.js";
import { Tunnel, type TunnelOwner } from "./tunnel.js";
import type { UpstreamLimit } from "./upstream-metrics.js";

/** Maximum size of an upgrade request; only its token may be long. */
const MAX_HEAD_BYTES = 64 * 1024;
const RETRY_AFTER = "Retry-After: 1\r\n";

const INVALID_ID = `invalid endpoint id (1 to ${MAX_ENDPOINT_ID_BYTES} bytes, no slash, nothing that can't be seen)`;
const INVALID_INSTANCE = `invalid x-piko-instance (1 to ${MAX_INSTANCE_BYTES} visible ASCII characters)`;
const UPSTREAM_PATH = /^\/piko\/v1\/upstream\/([^/?]+)$/;

/** The response to a connection that the port has no room for. */
export interface Refusal {
  readonly status: number;
  readonly message: string;
}

/** What connections need from the upstream port, and report to it. */
export interface UpstreamConnectionOwner extends TunnelOwner {
  readonly nodeId: string;
  readonly publicAddress: PublicAddress;
  /** The authorizer of listeners. */
  readonly auth: Authorizer;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly sweep: DeadlineSweep;
  readonly dateLine: DateLine;
  readonly config: UpstreamLimitsConfig;
  readonly budget: ByteBudget;
  /** Filled by each parse, valid until the next one. */
  readonly requestHead: RequestHead;
  /** Whether new tunnels are refused. */
  readonly stopping: boolean;
  /** The limit that forbids another tunnel for the endpoint and tenant (empty for none); undefined if none does. */
  fullFor(endpointId: string, tenantId: string): UpstreamLimit | undefined;
  /** The tunnel that a listener already has here and keeps. */
  tunnelOf(listener: { endpointId: string; tenantId: string; instance: string }): Tunnel | undefined;
  /** The number of other agents of its tenant that listen on its endpoint here. */
  otherAgents(listener: { endpointId: string; tenantId: string; instance: string }): number;
  /** The listener replaces `tunnel`, which ends when its requests in progress have finished. */
  onReplaced(tunnel: Tunnel): void;
  /** What the tenant uses on this node; undefined unless the tenant is configured. */
  useOf(tenantId: string): TenantUse | undefined;
  /** A connection has become this tunnel. */
  onTunnel(tunnel: Tunnel): void;
  /** The connection becomes a tunnel, and is no longer pending. */
  forget(connection: UpstreamConnection): void;
  /** The connection ended before it was a tunnel. */
  onPendingGone(connection: UpstreamConnection): void;
  /** The upgrade request didn't arrive in time. */
  onHeadTimeout(): void;
}

export class UpstreamConnection implements SocketHandler, Expiring, Waiter {
  readonly #port: UpstreamConnectionOwner;
  readonly socket: ByteSocket;
  readonly #bytes: ByteStore;
  readonly #finder = new HeadEndFinder();
  #deadlineMs: number;
  #answered = false;
  /** Whether the request is complete and waits until its token has been verified. */
  #verifying = false;
  readonly clientIp: string;
  /** Why the port has no room for the connection; undefined if it has. */
  readonly refusal: Refusal | undefined;

  constructor(
    port: UpstreamConnectionOwner,
    accepted: Socket,
    clientIp: string,
    refusal: Refusal | undefined,
  ) {
    this.#port = port;
    this.clientIp = clientIp;
    this.refusal = refusal;
    this.#bytes = new ByteStore(port.budget);
    const { readHeaderTimeoutMs } = port.config;
    const timeoutMs = refusal !== undefined ? REFUSED_PATIENCE_MS : readHeaderTimeoutMs;
    this.#deadlineMs = deadlineAfter(port.clock.now(), timeoutMs);
    this.socket = ByteSocket.accept(accepted, this, "long", port.clock);
    port.sweep.add(this);
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    if (this.#answered) return;
    if (this.refusal !== undefined) {
      this.#refuse(this.refusal.status, this.refusal.message, RETRY_AFTER);
      return;
    }
    const bytes = this.#bytes;
    bytes.append(buffer, start, end);
    // The socket is paused, so this can happen only once more.
    if (this.#verifying) return;
    if (bytes.buffer[bytes.start] === HANDSHAKE_RECORD) {
      this.#refuse(400, "tls to a port without it");
      return;
    }
    const found = this.#finder.find(bytes.buffer, bytes.start, bytes.end);
    if (found === END_INVALID) this.#refuse(400, this.#finder.error?.message ?? "bad request");
    else if (found !== END_UNKNOWN) this.#onHead();
    else if (bytes.length > MAX_HEAD_BYTES) this.#refuse(431, HTTP_ERRORS.HEAD_SIZE.message);
    else if (this.#port.budget.exhausted && bytes.length > SMALL_HEAD_BYTES) {
      this.#refuse(503, "server is busy", RETRY_AFTER);
    }
  }

  onEnd(): void {
    this.socket.close();
  }

  onDrain(): void {}

  onClose(): void {
    if (this.#verifying) this.#port.auth.cancel(this);
    this.#bytes.clear();
    this.#port.sweep.remove(this);
    this.#port.onPendingGone(this);
  }

  sweep(nowMs: number): void {
    if (nowMs < this.#deadlineMs || this.#answered || this.#verifying) return;
    if (this.refusal === undefined) this.#port.onHeadTimeout();
    if (this.#bytes.length === 0) this.socket.destroy();
    else this.#refuse(408, "request timeout");
  }

  onFault(): void {
    this.socket.reset();
  }

  /** The node is stopping, or no longer accepts the agent. */
  stop(): void {
    this.socket.close();
  }

  #onHead(): void {
    const head = this.#parseHead();
    if (head === undefined) return;
    const { auth } = this.#port;
    if (!auth.enabled) {
      this.#route(head, undefined);
      return;
    }
    const fields = new CredentialFields();
    fields.read(head);
    const result = auth.ask(valueOf(head, fields.credential), valueOf(head, fields.tenant) ?? "", this);
    if (result === undefined) {
      this.#verifying = true;
      this.socket.pause();
    } else this.#onIdentity(head, result);
  }

  onVerified(result: Identity | AuthRefusal): void {
    this.#verifying = false;
    this.socket.resume();
    const head = this.#parseHead();
    if (head !== undefined) this.#onIdentity(head, result);
  }

  /** Parses the received head; undefined if it was refused. */
  #parseHead(): RequestHead | undefined {
    const bytes = this.#bytes;
    const head = this.#port.requestHead;
    const result = parseRequestHead(head, bytes.buffer, bytes.start, bytes.end);
    if (result === HEAD_COMPLETE) return head;
    this.#refuse(head.error?.status ?? 400, head.error?.message ?? "bad request");
    return undefined;
  }

  #onIdentity(head: RequestHead, result: Identity | AuthRefusal): void {
    if ("reason" in result) this.#deny(head, result, "", undefined);
    else this.#route(head, result);
  }

  #deny(head: RequestHead, refusal: AuthRefusal, endpointId: string, identity: Identity | undefined): void {
    const { message, reason, status } = refusal;
    const fields = new CredentialFields();
    fields.read(head);
    this.#port.auth.onRefused(refusal, {
      address: this.clientIp,
      tenantId: valueOf(head, fields.tenant) ?? "",
      endpointId,
      identity,
      credential: valueOf(head, fields.credential),
      certificate: certificateSubject(this.socket.socket),
    });
    this.#refuse(status, message, status === 503 ? RETRY_AFTER : "", reason);
  }

  #route(head: RequestHead, identity: Identity | undefined): void {
    const target = head.buffer.toString("latin1", head.pathStart, head.pathEnd);
    const query = target.indexOf("?");
    const match = UPSTREAM_PATH.exec(query < 0 ? target : target.slice(0, query));
    const endpointId = match === null ? undefined : parseEndpointId(match[1] ?? "");
    if (match === null || head.method !== "GET") this.#refuse(404, "not found");
    else if (endpointId === undefined) this.#refuse(400, INVALID_ID);
    else if (identity?.permits(endpointId) === false)
      this.#deny(head, REFUSED.endpoint, endpointId, identity);
    else this.#upgrade(head, endpointId, identity);
  }

  #upgrade(head: RequestHead, endpointId: string, identity: Identity | undefined): void {
    const key = findField(head, FIELD_SEC_WEBSOCKET_KEY);
    if (!head.upgrade || findField(head, FIELD_UPGRADE)?.toLowerCase() !== "websocket") {
      this.#refuse(400, "websocket upgrade required");
      return;
    }
    if (findField(head, FIELD_SEC_WEBSOCKET_VERSION) !== "13") {
      this.#refuse(400, "unsupported websocket version", "Sec-WebSocket-Version: 13\r\n");
      return;
    }
    if (key === undefined || !isValidKey(key) || head.contentLength > 0 || head.chunked) {
      this.#refuse(400, "invalid websocket handshake");
      return;
    }
    if (!isSameOrigin(head)) {
      this.#refuse(403, "foreign origin");
      return;
    }
    if (this.#port.stopping) {
      this.#refuse(503, "node is stopping", RETRY_AFTER);
      return;
    }
    const named = findNamedField(head, "x-piko-instance");
    if (named !== undefined && !isInstance(named)) {
      this.#refuse(400, INVALID_INSTANCE);
      return;
    }
    const tenantId = findField(head, FIELD_X_PIKO_TENANT_ID) ?? "";
    const listener = { endpointId, tenantId, instance: named ?? "" };
    const earlier = this.#port.tunnelOf(listener);
    if (earlier !== undefined && !isRepeat(head)) {
      this.#sendElsewhere(listener.instance, endpointId);
      return;
    }
    const full = this.#port.fullFor(endpointId, tenantId);
    if (full !== undefined) {
      this.#refuse(503, `too many tunnels (${full})`, RETRY_AFTER);
      return;
    }
    // Before the new tunnel is added, so that the announced number of listeners doesn't change.
    if (earlier !== undefined) this.#port.onReplaced(earlier);
    this.#openTunnel(head, listener, key, identity);
  }

  #openTunnel(
    head: RequestHead,
    { endpointId, instance, tenantId }: { endpointId: string; instance: string; tenantId: string },
    key: string,
    identity: Identity | undefined,
  ): void {
    const port = this.#port;
    const capabilities = findNamedField(head, "x-piko-capabilities") ?? "";
    const extra =
      capabilities === ""
        ? ""
        : `x-piko-node-id: ${port.nodeId}\r\nx-piko-capabilities: drain\r\n${port.publicAddress.fieldsFor(endpointId)}${otherAgentsField(port.otherAgents({ endpointId, instance, tenantId }))}`;
    this.#answered = true;
    port.sweep.remove(this);
    port.forget(this);
    this.socket.out.writeLatin1(switchingProtocols(key, extra));
    const tunnel = new Tunnel({
      endpointId,
      socket: this.socket,
      clientIp: this.clientIp,
      tenantId,
      instance,
      userAgent: printableUserAgent(findNamedField(head, "user-agent")),
      capabilities: new Set(capabilities.split(",").map((name) => name.trim().toLowerCase())),
      maxStreams: port.config.maxStreamsPerTunnel,
      identity,
      certificate: certificateSubject(this.socket.socket),
      tenant: port.useOf(tenantId),
      untilMs: identity === undefined || identity.outlivesToken ? Number.POSITIVE_INFINITY : identity.untilMs,
      keepAlive: {
        keepAliveIntervalMs: port.config.pingIntervalMs,
        keepAliveTimeoutMs: port.config.pingTimeoutMs,
      },
      clock: port.clock,
      sweep: port.sweep,
      owner: port,
    });
    port.onTunnel(tunnel);
    // Go refuses bytes that are sent before its 101; accepting them does no harm.
    const { buffer, end } = this.#bytes;
    if (head.end < end) tunnel.receive(buffer, head.end, end);
    this.#bytes.clear();
  }

  /** `reason`: only for the log. */
  #refuse(status: number, message: string, extra = "", reason?: string): void {
    this.#port.logger.warn("upstream refused", {
      "client-ip": this.clientIp,
      status,
      error: message,
      ...(reason === undefined ? {} : { reason }),
    });
    this.#reply(status, message, extra);
  }

  /** The listener has a tunnel here and looks for another node. Agents do that all the time, so it is logged as debug only. */
  #sendElsewhere(instance: string, endpointId: string): void {
    const { logger, nodeId } = this.#port;
    logger.debug("upstream already has a tunnel here, asked to look elsewhere", {
      "endpoint-id": endpointId,
      "client-ip": this.clientIp,
      instance: hashInstance(instance),
    });
    this.#reply(409, "listener has a tunnel to this node", `x-piko-node-id: ${nodeId}\r\n`);
  }

  #reply(status: number, message: string, extra: string): void {
    const port = this.#port;
    this.#answered = true;
    this.#bytes.clear();
    port.sweep.remove(this);
    const dateLine = port.dateLine.get();
    this.socket.out.writeLatin1(
      errorResponse({ status, message, dateLine, close: true, headOnly: false, extra }),
    );
    this.socket.close();
  }
}

/** Whether the agent knows that its listener has a tunnel here, and wants to replace it. */
function isRepeat(head: RequestHead): boolean {
  return findNamedField(head, "x-piko-instance-repeat")?.toLowerCase() === "true";
}

function otherAgentsField(count: number): string {
  return count === 0 ? "" : `x-piko-other-agents: ${count}\r\n`;
}

/** The agent's name for its program if it is short visible ASCII, which fits into a table; otherwise empty. */
function printableUserAgent(value = ""): string {
  return /^[\x21-\x7e]{1,64}$/.test(value) ? value : "";
}
