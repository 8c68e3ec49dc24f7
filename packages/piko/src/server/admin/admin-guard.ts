// Who may use the admin port: everyone, or only clients with a token. Checked before anything else in a request.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Authorizer } from "../../auth/authorizer.js";
import type { Identity } from "../../auth/identity.js";
import type { Refusal } from "../../auth/refusal.js";
import { certificateSubject } from "../../net/accept/authorities.js";
import { send } from "../../net/route-server.js";

/** Pages that load balancers and orchestrators read without a token. */
const PROBES: ReadonlySet<string> = new Set(["/health", "/ready"]);

export class AdminGuard {
  readonly #auth: Authorizer;
  readonly #exemptProbes: boolean;

  constructor(auth: Authorizer, exemptProbes: boolean) {
    this.#auth = auth;
    this.#exemptProbes = exemptProbes;
  }

  /** Whether the request may continue, now or as a promise; if not, it has been answered. */
  admit(request: IncomingMessage, response: ServerResponse): boolean | Promise<boolean> {
    if (!this.#auth.enabled || (this.#exemptProbes && isProbe(request))) return true;
    const { headersDistinct: fields } = request;
    // Only the first field of each name is used, if it isn't empty.
    const credential = [fields["x-piko-authorization"]?.[0], fields["authorization"]?.[0]].find(Boolean);
    const tenantId = fields["x-piko-tenant-id"]?.[0] ?? "";
    return new Promise((resolve) => {
      const settle = (result: Identity | Refusal): void => {
        response.off("close", onClose);
        resolve(!("reason" in result) || this.#deny(request, response, result, credential, tenantId));
      };
      const waiter = { onVerified: settle };
      const onClose = (): void => {
        this.#auth.cancel(waiter);
        resolve(false);
      };
      response.once("close", onClose);
      const result = this.#auth.ask(credential, tenantId, waiter);
      if (result !== undefined) settle(result);
    });
  }

  #deny(
    { socket }: IncomingMessage,
    response: ServerResponse,
    refusal: Refusal,
    credential: string | undefined,
    tenantId: string,
  ): false {
    const { message, status } = refusal;
    this.#auth.onRefused(refusal, {
      address: socket.remoteAddress ?? "",
      tenantId,
      endpointId: "",
      identity: undefined,
      credential,
      certificate: certificateSubject(socket),
    });
    const body = JSON.stringify({ error: message });
    // As on the other ports, a 401 equals Go Piko's byte for byte.
    const fields: Record<string, string> =
      status === 401
        ? { "Content-Type": "application/json; charset=utf-8" }
        : { "Content-Type": "application/json", "Retry-After": "1" };
    send(response, status, fields, body);
    return false;
  }
}

function isProbe({ url = "/" }: IncomingMessage): boolean {
  const [path = "", query] = url.split("?", 2);
  return PROBES.has(path) && (query === undefined || !new URLSearchParams(query).has("forward"));
}
