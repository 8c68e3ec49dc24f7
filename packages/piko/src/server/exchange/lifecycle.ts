// The life cycle of a request on a node: authenticate -> route -> permit -> admit -> dispatch; then the exchange responds and
// records. Each step passes the request on, answers it, or holds it until it can decide.

import type { Identity } from "../../auth/identity.js";
import { REFUSED, type Refusal } from "../../auth/refusal.js";
import type { Waiter } from "../../auth/verification-queue.js";
import { CredentialFields, valueOf } from "../../http/credential-fields.js";
import { FIELD_UPGRADE } from "../../http/field-names.js";
import { findField } from "../../http/find-field.js";
import type { Exchange } from "../../http/exchange/exchange.js";
import type { Lifecycle as ExchangeLifecycle } from "../../http/exchange/lifecycle.js";
import type { RequestHead } from "../../http/head.js";
import { MADE_BYTES } from "../../observability/request-id.js";
import { isSameOrigin } from "../../http/origin.js";
import { REASONS } from "../../http/reasons.js";
import { type MutableRewrite, PLAIN_REQUEST } from "../../http/request-rewrite.js";
import { endpointIdOf } from "./named-endpoint.js";
import type { ProxyContext } from "./proxy-context.js";
import { KnownCredential } from "./known-credential.js";
import { servedEndpointId } from "./served-endpoint.js";
import { BODY_SIZE, ENDPOINT_ID, RETRY_AFTER } from "./proxy-limits.js";
import { isTooLong, parseEndpointId } from "../upstream/endpoint-id.js";
import { isForwarded, mayReroute } from "../upstream/hop/forwarded.js";
import type { NodeClient } from "./node-client.js";
import type { NodeDispatch } from "./node-dispatch.js";

const SLASH = 0x2f;
const UNDERSCORE = 0x5f;
const ASTERISK = 0x2a;
const TCP_PATH = /^\/_piko\/v1\/tcp\/([^/?]+)$/;

/** One per client connection, for one request after another. */
export class Lifecycle implements ExchangeLifecycle, Waiter {
  readonly #exchange: Exchange;
  readonly #client: NodeClient;
  readonly #dispatch: NodeDispatch;
  readonly #context: ProxyContext;
  readonly #rewrite: MutableRewrite;
  readonly #generatedId: Buffer;
  /** The endpoint of the last request; the next request usually has the same. */
  #lastEndpointId: string;
  readonly #fields: CredentialFields;
  /** The connection's last credential; set only if requests are authenticated. */
  #known: KnownCredential | undefined;
  /** The identity of the sender; undefined if no authentication is required. */
  #identity: Identity | undefined;
  /** Whether the request waits until its token has been verified. */
  #verifying: boolean;
  /** Whether the request was held for that. */
  #held: boolean;
  /** Whether the request is marked as forwarded, so that it goes to no other node. */
  #forwarded: boolean;
  /** Whether a node has marked it. */
  #fromNode: boolean;

  constructor(exchange: Exchange, client: NodeClient, dispatch: NodeDispatch, context: ProxyContext) {
    this.#exchange = exchange;
    this.#client = client;
    this.#dispatch = dispatch;
    this.#context = context;
    this.#lastEndpointId = "";
    this.#fields = new CredentialFields();
    this.#known = undefined;
    this.#identity = undefined;
    this.#verifying = false;
    this.#held = false;
    this.#forwarded = false;
    this.#fromNode = false;
    // Overwritten for each request.
    this.#generatedId = exchange.record.id.bytes.subarray(0, MADE_BYTES);
    const forwardedFor = Buffer.from(client.client.address, "latin1");
    const { trace } = exchange.record;
    this.#rewrite = { ...PLAIN_REQUEST, forwardedFor, trace, connectionClose: true };
    exchange.rewrite = this.#rewrite;
  }

  begin(head: RequestHead): void {
    const { client } = this.#client;
    this.#forwarded = isForwarded(head);
    this.#fromNode = this.#forwarded && this.#context.isHop(head, client.address);
    const trusted = client.trusted || this.#fromNode;
    this.#name(trusted);
    this.#exchange.record.trace?.begin(head, trusted, this.#client);
    if (this.#fromNode) client.onHop?.();
    else if (client.hopsOnly !== undefined) {
      this.#exchange.refuse(client.hopsOnly);
      return;
    }
    this.#authenticate(head);
  }

  abandon(): void {
    if (!this.#verifying) return;
    this.#verifying = false;
    this.#context.auth.cancel(this);
  }

  /** Gives the request an id, unless a trusted proxy or another node has given it one. */
  #name(trusted: boolean): void {
    const { id } = this.#exchange.record;
    const keeps = trusted && id.length > 0;
    if (!keeps) id.make();
    this.#rewrite.requestId = keeps ? undefined : this.#generatedId;
  }

  /** Authenticates before anything else in the request is checked. Requests about the server itself need no token. */
  #authenticate(head: RequestHead): void {
    const { auth } = this.#context;
    this.#held = false;
    this.#identity = undefined;
    this.#rewrite.credentialField = -1;
    if (!auth.enabled || head.buffer[head.pathStart] === ASTERISK) {
      this.#route(head);
      return;
    }
    const fields = this.#fields;
    fields.read(head);
    this.#rewrite.credentialField = fields.credential;
    if (fields.tenant < 0 && fields.credential >= 0) {
      const known = this.#known?.find(head, fields.credential);
      if (known !== undefined && auth.isCurrent(known)) {
        this.#identity = known;
        this.#route(head);
        return;
      }
    }
    const tenantId = valueOf(head, fields.tenant) ?? "";
    const result = auth.ask(valueOf(head, fields.credential), tenantId, this);
    if (result !== undefined) {
      this.#onIdentity(head, result);
      return;
    }
    this.#verifying = true;
    this.#held = true;
    this.#exchange.hold(head);
  }

  /** The token of the held request has been verified. */
  onVerified(result: Identity | Refusal): void {
    this.#verifying = false;
    this.#onIdentity(this.#exchange.heldHead(), result);
  }

  #onIdentity(head: RequestHead, result: Identity | Refusal): void {
    if ("reason" in result) {
      this.#deny(head, result, "");
      return;
    }
    this.#identity = result;
    if (this.#fields.tenant < 0) {
      this.#known ??= new KnownCredential();
      this.#known.remember(head, this.#fields.credential, result);
    }
    this.#route(head);
  }

  #deny(head: RequestHead, refusal: Refusal, endpointId: string): void {
    const { message, status } = refusal;
    this.#exchange.record.endpointId = endpointId;
    const fields = this.#fields;
    this.#context.auth.onRefused(refusal, {
      address: this.#client.client.address,
      tenantId: valueOf(head, fields.tenant) ?? "",
      endpointId,
      identity: this.#identity,
      credential: valueOf(head, fields.credential),
      certificate: this.#client.client.certificate,
    });
    const reason = status === 503 ? REASONS.auth_unready : REASONS.unauthorized;
    this.#exchange.reply(reason, status, message, status === 503 ? RETRY_AFTER : "");
  }

  /** Decides where the request goes: to the proxy's own paths, or to the endpoint that it names. */
  #route(head: RequestHead): void {
    const first = head.buffer[head.pathStart];
    if (first === SLASH && head.buffer[head.pathStart + 1] === UNDERSCORE) {
      const path = head.buffer.toString("latin1", head.pathStart, head.pathEnd);
      if (isReserved(path)) {
        this.#routeReserved(head, path);
        return;
      }
    } else if (first === ASTERISK) {
      // RFC 9110 section 9.3.7: a request about the server itself.
      this.#exchange.reply(undefined, 200, undefined);
      return;
    }
    const endpointId = endpointIdOf(head, this.#lastEndpointId);
    if (endpointId === "") this.#exchange.reply(REASONS.no_endpoint, 400, REASONS.no_endpoint.message);
    // No agent can listen on it, and it doesn't fit into a gossip packet.
    else if (isTooLong(endpointId)) this.#exchange.refuse(ENDPOINT_ID);
    else {
      this.#lastEndpointId = endpointId;
      this.#permit(head, endpointId, false);
    }
  }

  /** Checks that the sender may use the endpoint that will serve the request. */
  #permit(head: RequestHead, endpointId: string, tcp: boolean): void {
    const identity = this.#identity;
    this.#exchange.record.endpointId = endpointId;
    if (identity === undefined) {
      this.#admit(head, endpointId, tcp);
      return;
    }
    const byHost = head.endpointField < 0 && !tcp;
    const served = byHost ? servedEndpointId(endpointId, identity, this.#context) : endpointId;
    if (identity.permits(served)) this.#admit(head, served, tcp);
    else this.#deny(head, REFUSED.endpoint, served);
  }

  /** Checks the limit of the body. Limits on concurrent use are checked in the dispatch, which counts it. */
  #admit(head: RequestHead, endpointId: string, tcp: boolean): void {
    if (head.contentLength > this.#context.config.limits.maxBodyBytes) this.#exchange.refuse(BODY_SIZE);
    else this.#send(head, endpointId, tcp);
  }

  /** Passes the request to the dispatch. */
  #send(head: RequestHead, endpointId: string, tcp: boolean): void {
    const { target } = this.#dispatch;
    const { secure, trusted } = this.#client.client;
    target.endpointId = endpointId;
    this.#exchange.record.endpointId = endpointId;
    target.byHost = head.endpointField < 0 && !tcp;
    target.nodesOnly = tcp;
    target.lastNode = this.#forwarded;
    target.fromNode = this.#fromNode;
    target.reroutable = target.fromNode && mayReroute(head);
    target.method = head.method;
    target.identity = this.#identity;
    this.#context.forwarded.set(this.#rewrite, head, endpointId, trusted || target.fromNode, secure);
    this.#dispatch.begin();
    if (this.#held) this.#exchange.resume();
    else this.#exchange.dispatch(head);
  }

  /** Handles the paths under `/_piko`, which never reach a service. */
  #routeReserved(head: RequestHead, path: string): void {
    const exchange = this.#exchange;
    const query = path.indexOf("?");
    const match = TCP_PATH.exec(query < 0 ? path : path.slice(0, query));
    const endpointId = match === null ? undefined : parseEndpointId(match[1] ?? "");
    if (match === null) exchange.reply(REASONS.not_found, 404, "not found");
    else if (head.method !== "GET")
      exchange.reply(REASONS.not_found, 405, "method not allowed", "Allow: GET\r\n");
    else if (endpointId !== undefined && this.#identity?.permits(endpointId) === false) {
      this.#deny(head, REFUSED.endpoint, endpointId);
    } else if (!isWebSocketUpgrade(head) || this.#client.raw === undefined) {
      exchange.reply(REASONS.bad_request, 426, "websocket upgrade required", "Upgrade: websocket\r\n");
    } else if (!isSameOrigin(head)) exchange.reply(REASONS.forbidden, 403, "foreign origin");
    else if (endpointId === undefined) exchange.refuse(ENDPOINT_ID);
    else this.#permit(head, endpointId, true);
  }
}

function isReserved(path: string): boolean {
  return path.startsWith("/_piko") && (path.length === 6 || path[6] === "/" || path[6] === "?");
}

function isWebSocketUpgrade(head: RequestHead): boolean {
  return head.upgrade && findField(head, FIELD_UPGRADE)?.toLowerCase() === "websocket";
}
