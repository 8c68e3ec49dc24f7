// Who may use the ports of a node: one authorizer per port, created from the configuration, and their metrics.

import { isDeepStrictEqual } from "node:util";
import type { Clock } from "@piko/tunnel";
import { AuditLog } from "../auth/audit-log.js";
import { Authorizer } from "../auth/authorizer.js";
import { loadVerifier } from "../auth/load-verifier.js";
import type { Verifier } from "../auth/verifier.js";
import { hasKeys, type TenantConfig, type TokenConfig } from "../config/auth.js";
import type { ServerConfig } from "../config/server.js";
import type { Logger } from "../observability/logger.js";
import type { Metrics, Sample } from "../observability/metrics.js";

export interface AuthorizersOptions {
  readonly config: ServerConfig;
  readonly clock: Clock;
  /** Milliseconds since 1970. */
  readonly wallNow: () => number;
  readonly logger: Logger;
}

export class Authorizers {
  readonly proxy: Authorizer;
  readonly upstream: Authorizer;
  readonly admin: Authorizer;
  readonly #options: AuthorizersOptions;

  /** Verifies the tokens of agents that name no tenant. */
  #general: Verifier | undefined = undefined;
  /** The tenants' verifiers, each with the configuration it was created from. Unchanged tenants keep theirs. */
  #made: ReadonlyMap<string, { readonly config: TenantConfig; readonly verifier: Verifier }> = new Map();

  private constructor(options: AuthorizersOptions) {
    const { clock, config, logger, wallNow } = options;
    this.#options = options;
    const create = (port: "proxy" | "upstream" | "admin"): Authorizer => {
      const audit = new AuditLog(port, logger.subsystem("audit"), clock);
      return new Authorizer({ port, maxPending: config[port].auth.maxPending, audit, wallNow });
    };
    this.proxy = create("proxy");
    this.upstream = create("upstream");
    this.admin = create("admin");
  }

  /** Reads all keys; rejects if one of them is invalid. */
  static async load(options: AuthorizersOptions): Promise<Authorizers> {
    const { config } = options;
    const all = new Authorizers(options);
    try {
      all.proxy.use(await all.#verifier(all.proxy, "proxy.auth", config.proxy.auth));
      all.admin.use(await all.#verifier(all.admin, "admin.auth", config.admin.auth));
      all.#general = await all.#verifier(all.upstream, "upstream.auth", config.upstream.auth);
      all.upstream.use(all.#general);
      await all.setTenants(config.upstream.tenants);
    } catch (error) {
      all.close();
      throw error;
    }
    return all;
  }

  /** Whether all ports can check tokens. */
  get ready(): boolean {
    return this.#all().every((authorizer) => authorizer.ready);
  }

  /**
   * Sets the tenants whose agents may connect. Rejects and changes nothing if a key is invalid, or if no agent would need a
   * token any more.
   */
  async setTenants(configs: readonly TenantConfig[]): Promise<void> {
    if (configs.length === 0 && this.#general === undefined && this.upstream.enabled) {
      throw new Error(
        "without tenants and upstream.auth everyone would be accepted: this change needs a restart",
      );
    }
    this.upstream.use(this.#general, await this.#tenants(configs));
  }

  close(): void {
    for (const authorizer of this.#all()) authorizer.close();
  }

  /** Adds the metrics of the ports that require tokens. */
  addMetrics(metrics: Metrics): void {
    const enabled = (): Authorizer[] => this.#all().filter((authorizer) => authorizer.enabled);
    metrics.add({
      name: "piko_auth_refused_total",
      help: "Number of requests and tunnels that were rejected",
      type: "counter",
      labels: ["port", "reason"],
      read: () =>
        enabled().flatMap(({ port, refused }) =>
          [...refused].map(([reason, value]): Sample => ({ labels: { port, reason }, value })),
        ),
    });
    const perPort = (
      type: "counter" | "gauge",
      name: string,
      help: string,
      of: (each: Authorizer) => number,
    ): void =>
      metrics.labeled(type, name, help, "port", () =>
        enabled().map((each) => [each.port, of(each)] as const),
      );
    perPort(
      "counter",
      "piko_auth_verifications_total",
      "Number of tokens that were verified",
      (each) => each.verifications,
    );
    perPort(
      "gauge",
      "piko_auth_pending",
      "Number of requests waiting for their token to be verified",
      (each) => each.pending,
    );
    perPort(
      "gauge",
      "piko_auth_remembered_tokens",
      "Number of verified tokens that are remembered",
      (each) => each.remembered,
    );
    metrics.labeled(
      "gauge",
      "piko_auth_jwks_age_seconds",
      "Time since the keys of a JWKS were fetched",
      "section",
      () =>
        this.#all().flatMap((authorizer) =>
          [...authorizer.verifiers()].flatMap(({ keysAgeMs, section }) =>
            keysAgeMs === undefined ? [] : [[section, keysAgeMs / 1_000] as const],
          ),
        ),
    );
  }

  #all(): readonly Authorizer[] {
    return [this.proxy, this.upstream, this.admin];
  }

  async #tenants(configs: readonly TenantConfig[]): Promise<ReadonlyMap<string, Verifier>> {
    const made = new Map<string, { config: TenantConfig; verifier: Verifier }>();
    const before = this.#made;
    try {
      for (const config of configs) {
        const { auth, endpoints, id } = config;
        const same = before.get(id);
        const kept =
          same !== undefined &&
          isDeepStrictEqual([same.config.auth, same.config.endpoints], [auth, endpoints]);
        const section = `upstream.tenants[${id}].auth`;
        const verifier = kept
          ? same.verifier
          : await this.#verifier(this.upstream, section, auth, id, endpoints);
        if (verifier !== undefined) made.set(id, { config, verifier });
      }
    } catch (error) {
      for (const { config, verifier } of made.values()) {
        if (before.get(config.id)?.verifier !== verifier) verifier.close();
      }
      throw error;
    }
    this.#made = made;
    return new Map([...made].map(([id, { verifier }]) => [id, verifier]));
  }

  async #verifier(
    authorizer: Authorizer,
    section: string,
    config: TokenConfig,
    tenantId = "",
    endpoints: readonly string[] = [],
  ): Promise<Verifier | undefined> {
    if (!hasKeys(config)) return undefined;
    const { clock, logger, wallNow } = this.#options;
    return loadVerifier({
      config,
      section,
      tenantId,
      endpoints,
      clock,
      wallNow,
      logger: logger.subsystem("auth"),
      onChange: () => authorizer.changed(),
    });
  }
}
