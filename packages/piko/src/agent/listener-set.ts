// The agent's current listeners, which can be replaced while it runs.

import { isDeepStrictEqual } from "node:util";
import { allowManyListeners, errorText } from "@piko/client/internal";
import type { ListenerConfig } from "../config/agent.js";
import type { Logger } from "../observability/logger.js";
import type { Listener } from "./listener.js";

export interface ListenerSetOptions {
  /** Creates a listener; throws if a setting can't be used. */
  readonly create: (config: ListenerConfig) => Listener;
  /** Time for requests in progress when a listener is removed. */
  readonly graceMs: number;
  readonly logger: Logger;
}

export class ListenerSet {
  readonly #options: ListenerSetOptions;
  readonly #stop = new AbortController();
  #listeners: readonly Listener[];
  /** Removed listeners that aren't closed yet. */
  readonly #leaving = new Set<Listener>();

  constructor(configs: readonly ListenerConfig[], options: ListenerSetOptions) {
    this.#options = options;
    allowManyListeners(this.#stop.signal);
    this.#listeners = configs.map((config) => options.create(config));
  }

  get all(): readonly Listener[] {
    return this.#listeners;
  }

  /**
   * Replaces the listeners. Those with an unchanged configuration are kept. New ones start before the ones that they replace
   * are closed, so that an endpoint is never without a listener. Rejects and changes nothing if one can't be created or started.
   */
  async replace(configs: readonly ListenerConfig[]): Promise<void> {
    const { create } = this.#options;
    const rest = [...this.#listeners];
    const created: Listener[] = [];
    const next = configs.map((config) => {
      const at = rest.findIndex((listener) => isDeepStrictEqual(listener.config, config));
      const same = at < 0 ? undefined : rest.splice(at, 1)[0];
      if (same !== undefined) return same;
      const listener = create(config);
      created.push(listener);
      return listener;
    });
    try {
      await Promise.all(created.map((listener) => listener.start(this.#stop.signal)));
    } catch (error) {
      // The started ones may already have received requests.
      for (const listener of created) this.#leave(listener);
      throw error;
    }
    this.#listeners = next;
    for (const listener of rest) this.#leave(listener);
  }

  /** Accepts nothing new, lets requests finish for up to `graceMs`, and closes. */
  async close(graceMs: number): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#listeners, ...this.#leaving].map((listener) => listener.close(graceMs)));
  }

  #leave(listener: Listener): void {
    const { graceMs, logger } = this.#options;
    this.#leaving.add(listener);
    listener.close(graceMs).then(
      () => this.#leaving.delete(listener),
      (error: unknown) => logger.error("listener didn't close", { error: errorText(error) }),
    );
  }
}
