// What each tenant uses on this node, and whether it may use more: tunnels, endpoints, requests.

import type { Clock } from "@piko/tunnel";
import type { TenantConfig } from "../../config/auth.js";
import { RateLimit } from "../../net/rate-limit.js";

/** Limits that apply when a tenant opens a tunnel. */
export type TenantTunnelLimit = "tenant_max_tunnels" | "tenant_max_endpoints";
/** Limits that apply to requests to a tenant's tunnels. */
export type TenantRateLimit = "requests_per_second" | "requests_per_second_per_endpoint";

type Limits = Pick<
  TenantConfig,
  "maxTunnels" | "maxEndpoints" | "requestsPerSecond" | "requestsPerSecondPerEndpoint"
>;

/** The part of a tunnel that is needed here. */
type UsedTunnel = { readonly endpointId: string };

/** An endpoint that a tenant listens on. */
interface EndpointUse {
  readonly tunnels: Set<UsedTunnel>;
  rate: RateLimit;
}

/** The use and limits of one tenant. */
export class TenantUse {
  readonly #clock: Clock;
  #limits: Limits;
  #rate: RateLimit;
  readonly #endpoints = new Map<string, EndpointUse>();
  #tunnelCount = 0;

  constructor(limits: Limits, clock: Clock) {
    this.#clock = clock;
    this.#limits = limits;
    this.#rate = new RateLimit(limits.requestsPerSecond, clock.now());
  }

  /** Replaces the limits; tunnels and endpoints above the new ones stay. */
  setLimits(limits: Limits): void {
    const now = this.#clock.now();
    this.#limits = limits;
    if (this.#rate.perSecond !== limits.requestsPerSecond) {
      this.#rate = new RateLimit(limits.requestsPerSecond, now);
    }
    for (const endpoint of this.#endpoints.values()) {
      if (endpoint.rate.perSecond === limits.requestsPerSecondPerEndpoint) continue;
      endpoint.rate = new RateLimit(limits.requestsPerSecondPerEndpoint, now);
    }
  }

  /** Why another tunnel of this endpoint is refused; undefined if it isn't. */
  fullFor(endpointId: string): TenantTunnelLimit | undefined {
    if (this.#tunnelCount >= this.#limits.maxTunnels) return "tenant_max_tunnels";
    const isNew = !this.#endpoints.has(endpointId);
    return isNew && this.#endpoints.size >= this.#limits.maxEndpoints ? "tenant_max_endpoints" : undefined;
  }

  add(tunnel: UsedTunnel): void {
    let endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint === undefined) {
      const rate = new RateLimit(this.#limits.requestsPerSecondPerEndpoint, this.#clock.now());
      endpoint = { tunnels: new Set(), rate };
      this.#endpoints.set(tunnel.endpointId, endpoint);
    }
    endpoint.tunnels.add(tunnel);
    this.#tunnelCount++;
  }

  /** Idempotent. */
  remove(tunnel: UsedTunnel): void {
    const endpoint = this.#endpoints.get(tunnel.endpointId);
    if (endpoint?.tunnels.delete(tunnel) !== true) return;
    this.#tunnelCount--;
    if (endpoint.tunnels.size === 0) this.#endpoints.delete(tunnel.endpointId);
  }

  /** Counts a request to one of the tenant's tunnels; returns the limit that it exceeds, or undefined. */
  enter(endpointId: string): TenantRateLimit | undefined {
    const now = this.#clock.now();
    if (this.#endpoints.get(endpointId)?.rate.take(now) === false) return "requests_per_second_per_endpoint";
    return this.#rate.take(now) ? undefined : "requests_per_second";
  }
}

/** The uses of all configured tenants. */
export class TenantUses {
  readonly #clock: Clock;
  readonly #uses = new Map<string, TenantUse>();

  constructor(configs: readonly TenantConfig[], clock: Clock) {
    this.#clock = clock;
    this.set(configs);
  }

  find(tenantId: string): TenantUse | undefined {
    return this.#uses.get(tenantId);
  }

  /** Replaces the tenants; those that remain keep their counts. */
  set(configs: readonly TenantConfig[]): void {
    const ids = new Set(configs.map(({ id }) => id));
    for (const id of this.#uses.keys()) if (!ids.has(id)) this.#uses.delete(id);
    for (const config of configs) {
      const use = this.#uses.get(config.id);
      if (use === undefined) this.#uses.set(config.id, new TenantUse(config, this.#clock));
      else use.setLimits(config);
    }
  }
}
