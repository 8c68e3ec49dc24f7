// Reloads a configuration while its program runs (SIGHUP): applies what can change, and logs in one line what has changed and
// what needs a restart. If the new configuration is invalid, the program continues unchanged.

import { type ChangedSetting, changedSettings, withSettings } from "../config/changed-settings.js";
import type { Section } from "../config/declaration.js";
import type { Logger } from "../observability/logger.js";

/** Settings that can change at run time. */
export interface Reloadable<T> {
  /** YAML paths of settings, sections or lists: `log.level`, `listeners`. */
  readonly paths: readonly string[];
  /** Applies the settings; called with the whole new configuration if one of them has changed. */
  readonly apply: (config: T) => void | Promise<void>;
}

export interface ConfigReloadOptions<T> {
  readonly declared: Section<T>;
  /** The configuration in use. */
  readonly config: T;
  /** Reads all settings again; throws if any is invalid. */
  readonly load: () => T;
  readonly reloadables: readonly Reloadable<T>[];
  readonly logger: Logger;
}

export class ConfigReload<T extends object> {
  readonly #options: ConfigReloadOptions<T>;
  /** The configuration in use. Settings that need a restart have the values that the program started with. */
  #config: T;
  /** The last reload; reloads run one after another. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: ConfigReloadOptions<T>) {
    this.#options = options;
    this.#config = options.config;
  }

  /** Resolves when the reload is done. Never rejects. */
  run(): Promise<void> {
    this.#last = this.#last.then(() => this.#run());
    return this.#last;
  }

  async #run(): Promise<void> {
    const { declared, load, logger, reloadables } = this.#options;
    try {
      const config = load();
      const changed = changedSettings(declared, this.#config, config);
      const taken = new Set<ChangedSetting>();
      for (const { apply, paths } of reloadables) {
        const mine = changed.filter(({ path }) => paths.some((prefix) => isWithin(path, prefix)));
        if (mine.length === 0) continue;
        await apply(config);
        for (const each of mine) taken.add(each);
        this.#config = withSettings(this.#config, config, mine);
      }
      const waiting = changed.filter((each) => !taken.has(each)).map(({ path }) => path);
      const log = waiting.length > 0 ? logger.warn.bind(logger) : logger.info.bind(logger);
      log("configuration reloaded", {
        changed: changed.filter((each) => taken.has(each)).map(({ path }) => path),
        ...(waiting.length === 0 ? {} : { "needs-restart": waiting }),
      });
    } catch (error) {
      logger.error("could not reload the configuration, still using the previous one", { error });
    }
  }
}

function isWithin(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}.`);
}
