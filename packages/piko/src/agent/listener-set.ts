// The agent's current listeners, which can be replaced while it runs.

import { setMaxListeners } from "node:events";
import { isDeepStrictEqual } from "node:util";
import { errorText } from "@piko/client/internal";
import type { ListenerConfig } from "../config/agent.js";
import type { Logger } from "../observability/logger.js";
import type { Listener } from "./listener.js";

export interface ListenerSetOptions {
  /** Makes a listener; throws when a setting can't be used. */
  readonly create: (config: ListenerConfig) => Listener;
  /** Time for requests in flight of a listener that goes. */
  readonly graceMs: number;
  readonly logger: Logger;
}

export class ListenerSet {
  readonly #options: ListenerSetOptions;
  readonly #stop = new AbortController();
  #listeners: readonly Listener[];
  /** Those that go, until they are closed. */
  readonly #leaving = new Set<Listener>();

  constructor(configs: readonly ListenerConfig[], options: ListenerSetOptions) {
    this.#options = options;
    setMaxListeners(0, this.#stop.signal);
    this.#listeners = configs.map((config) => options.create(config));
  }

  get all(): readonly Listener[] {
    return this.#listeners;
  }

  /**
   * Has these from now on. One that is as before stays as it is; others come before those in whose place they come go, so
   * that an endpoint isn't without one. Rejects, and leaves all as it was, when one can't be made or is refused.
   */
  async replace(configs: readonly ListenerConfig[]): Promise<void> {
    const { create } = this.#options;
    const rest = [...this.#listeners];
    const made: Listener[] = [];
    const next = configs.map((config) => {
      const at = rest.findIndex((listener) => isDeepStrictEqual(listener.config, config));
      const same = at < 0 ? undefined : rest.splice(at, 1)[0];
      if (same !== undefined) return same;
      const listener = create(config);
      made.push(listener);
      return listener;
    });
    try {
      await Promise.all(made.map((listener) => listener.start(this.#stop.signal)));
    } catch (error) {
      // Requests may have come to those that were started.
      for (const listener of made) this.#leave(listener);
      throw error;
    }
    this.#listeners = next;
    for (const listener of rest) this.#leave(listener);
  }

  /** Takes nothing new, lets requests end for `graceMs`, and closes. */
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
