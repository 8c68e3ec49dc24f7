// Watches the configuration file for tenants that are added, changed or removed, and applies them without a restart. Changes of
// other settings are only logged, since they don't apply yet.

import { isDeepStrictEqual } from "node:util";
import type { Clock } from "@piko/tunnel";
import type { TenantConfig } from "../config/auth.js";
import type { ServerConfig } from "../config/server.js";
import { WatchedFile } from "../net/watched-file.js";
import type { Logger } from "../observability/logger.js";

const MAX_FILE_BYTES = 16_777_216;

export interface TenantReloadOptions {
  readonly path: string;
  /** The configuration that is in force. */
  readonly config: ServerConfig;
  /** Reads all settings again; throws if there is anything wrong with them. */
  readonly load: () => ServerConfig;
  /** Applies tenants, or rejects and changes nothing. */
  readonly apply: (tenants: readonly TenantConfig[]) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

export class TenantReload {
  readonly #options: TenantReloadOptions;
  readonly #file: WatchedFile;
  #tenants: readonly TenantConfig[];
  #others: unknown;
  /** The last change: changes are applied one after another. */
  #last: Promise<void> = Promise.resolve();

  /** @throws Error if the file can't be read. */
  constructor(options: TenantReloadOptions) {
    const { clock, config, logger, path } = options;
    this.#options = options;
    this.#tenants = config.upstream.tenants;
    this.#others = withoutTenants(config);
    this.#file = new WatchedFile({
      path,
      maxBytes: MAX_FILE_BYTES,
      partsAreValid: true,
      clock,
      onChange: () => {
        this.#last = this.#last.then(() => this.#reload());
      },
      onFailure: (error) =>
        logger.warn("could not read the configuration, still using the previous one", { path, error }),
    });
  }

  /** Takes over a configuration that was read elsewhere: applies its tenants, remembers the rest. Rejects if it can't. */
  take(config: ServerConfig): Promise<void> {
    const taken = this.#last.then(() => this.#takeTenants(config));
    this.#last = taken.catch(() => {});
    this.#others = withoutTenants(config);
    return taken;
  }

  close(): void {
    this.#file.close();
  }

  async #reload(): Promise<void> {
    const { load, logger, path } = this.#options;
    try {
      const config = load();
      await this.#takeTenants(config);
      const others = withoutTenants(config);
      if (isDeepStrictEqual(others, this.#others)) return;
      this.#others = others;
      logger.warn("settings other than upstream.tenants have changed: they apply after SIGHUP or a restart", {
        path,
      });
    } catch (error) {
      logger.warn("could not apply the configuration, still using the previous one", { path, error });
    }
  }

  async #takeTenants({ upstream: { tenants } }: ServerConfig): Promise<void> {
    const { apply, logger } = this.#options;
    if (isDeepStrictEqual(tenants, this.#tenants)) return;
    await apply(tenants);
    this.#tenants = tenants;
    logger.info("tenants changed", { tenants: tenants.length });
  }
}

function withoutTenants(config: ServerConfig): unknown {
  return { ...config, upstream: { ...config.upstream, tenants: [] } };
}
