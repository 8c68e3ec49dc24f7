// The keys of this node's encrypted gossip: from the configuration, or from files that are read again when they change.

import { readFileSync } from "node:fs";
import type { Clock } from "@piko/tunnel";
import { parseSecretKey } from "../../base/secret-key.js";
import type { GossipConfig } from "../../config/gossip.js";
import { type GossipKey, createGossipKey } from "../../gossip/sealed/gossip-key.js";
import { KeyRing } from "../../gossip/sealed/key-ring.js";
import { FileWatch } from "../../net/file-watch.js";
import type { Logger } from "../../observability/logger.js";

/** A key file is one line; a longer file isn't a key file. */
const MAX_FILE_BYTES = 1_024;

export interface GossipKeysOptions {
  readonly clusterName: string;
  readonly config: GossipConfig;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The key ring, kept up to date with the key files. */
export class GossipKeys {
  readonly ring: KeyRing;
  readonly #options: GossipKeysOptions;
  readonly #watches: readonly FileWatch[];

  /** @throws Error if a file holds no key. Later, such a file changes nothing. */
  constructor(options: GossipKeysOptions) {
    const { clock, clusterName, config } = options;
    this.#options = options;
    const keys =
      config.secretKeyFiles.length > 0
        ? readKeys(config.secretKeyFiles)
        : config.secretKeys.map((text) => createGossipKey(parseSecretKey(text)));
    this.ring = new KeyRing(clusterName, keys);
    this.#watches = config.secretKeyFiles.map(
      (path) => new FileWatch({ path, clock, onChange: () => this.#reload() }),
    );
  }

  close(): void {
    for (const watch of this.#watches) watch.close();
  }

  #reload(): void {
    const { config, logger } = this.#options;
    try {
      const keys = readKeys(config.secretKeyFiles);
      if (!this.ring.replace(keys)) return;
      logger.info("gossip keys replaced", { "key-ids": keys.map(nameOf) });
    } catch (error) {
      logger.error("gossip keys can't be read again, still using the previous ones", { error });
    }
  }
}

function readKeys(paths: readonly string[]): readonly GossipKey[] {
  return paths.map((path) => {
    try {
      const text = readFileSync(path);
      if (text.length > MAX_FILE_BYTES) throw new RangeError("must be a key: 32 bytes in base64");
      return createGossipKey(parseSecretKey(text.toString("latin1")));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new Error(`cluster.gossip.secret_key_files: ${path}: ${code ?? message}`, { cause: error });
    }
  });
}

/** A key's id, which is visible on the wire. */
function nameOf({ id }: GossipKey): string {
  return id.toString(16).padStart(8, "0");
}
