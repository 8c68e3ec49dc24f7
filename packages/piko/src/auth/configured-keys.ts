// Keys from the configuration: as text, or in watched files.

import type { Clock } from "@piko/tunnel";
import { parsePublicKey, type TokenConfig } from "../config/auth.js";
import { WatchedFile } from "../net/watched-file.js";
import type { Logger } from "../observability/logger.js";
import type { KeySource } from "./key-source.js";
import { hmacKey, KeySet, publicKey, type VerifyingKey } from "./keys.js";
import type { KeySeeker } from "./sought-keys.js";

/** Maximum size of a key file. */
const MAX_KEY_BYTES = 65_536;
const LINE_FEED = 0x0a;

type Kind = "hmac" | "rsa" | "ec";

/** One key: its text, or its file. */
interface Configured {
  readonly kind: Kind;
  /** Name of the setting, like `hmac_secret_key_file`. */
  readonly name: string;
  readonly text: string;
  /** Empty if `text` is the key. */
  readonly path: string;
}

export interface ConfiguredKeysOptions {
  readonly config: TokenConfig;
  /** Path of the settings, like `proxy.auth`. */
  readonly section: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called when the keys have changed. */
  readonly onChange: () => void;
}

export class ConfiguredKeys implements KeySource {
  readonly ageMs: undefined = undefined;
  readonly fetching: undefined = undefined;
  #keys: KeySet;
  #files: readonly WatchedFile[] = [];
  #closed = false;

  private constructor(keys: KeySet) {
    this.#keys = keys;
  }

  /** Reads the keys; rejects if one of them is invalid or can't be read. */
  static async load(options: ConfiguredKeysOptions): Promise<ConfiguredKeys> {
    const { clock, logger, onChange, section } = options;
    const configured = listKeys(options.config);
    const source = new ConfiguredKeys(new KeySet([], false));
    const contents: Buffer[] = configured.map(({ text }) => Buffer.from(text, "utf8"));
    const keys: VerifyingKey[] = [];
    const watch = ({ kind, name, path }: Configured, index: number): WatchedFile => {
      const setting = `${section}.${name}`;
      try {
        return new WatchedFile({
          path,
          maxBytes: MAX_KEY_BYTES,
          partsAreValid: kind === "hmac",
          clock,
          onChange: (bytes) => void change(bytes, index, setting),
          onFailure: (error) =>
            logger.warn("could not read key, still using the previous one", { setting, error }),
        });
      } catch (error) {
        throw new Error(`${setting}: ${(error as Error).message}`, { cause: error });
      }
    };
    const change = async (bytes: Buffer, index: number, setting: string): Promise<void> => {
      try {
        // Each file's key is replaced separately: files that change at once don't undo each other's change.
        const key = await makeConfigured(configured[index] as Configured, bytes, section);
        if (source.#closed) return;
        keys[index] = key;
        source.#keys = keySet(keys);
        logger.info("key changed", { setting });
        onChange();
      } catch (error) {
        logger.warn("could not use key, still using the previous one", { setting, error });
      }
    };
    try {
      source.#files = configured.flatMap((key, index) => {
        if (key.path === "") return [];
        const file = watch(key, index);
        contents[index] = file.bytes;
        return [file];
      });
      for (const [index, each] of configured.entries()) {
        const key = await makeConfigured(each, contents[index] as Buffer, section);
        // Its file may have changed in the meantime.
        keys[index] ??= key;
      }
      source.#keys = keySet(keys);
    } catch (error) {
      source.close();
      throw error;
    }
    return source;
  }

  get keys(): KeySet {
    return this.#keys;
  }

  /** Always true, since tokens don't name these keys. */
  lacks(): boolean {
    return true;
  }

  lookFor(seeker: KeySeeker): void {
    seeker.onSearchEnd(true);
  }

  forget(): void {}

  close(): void {
    this.#closed = true;
    for (const file of this.#files) file.close();
  }
}

function listKeys(config: TokenConfig): readonly Configured[] {
  const found: Configured[] = [];
  const add = (kind: Kind, name: string, text: string, path: string): void => {
    if (text !== "") found.push({ kind, name, text, path: "" });
    if (path !== "") found.push({ kind, name: `${name}_file`, text: "", path });
  };
  add("hmac", "hmac_secret_key", config.hmacSecretKey, config.hmacSecretKeyFile);
  for (const path of config.hmacSecretKeyFiles)
    found.push({ kind: "hmac", name: "hmac_secret_key_files", text: "", path });
  add("rsa", "rsa_public_key", config.rsaPublicKey, config.rsaPublicKeyFile);
  add("ec", "ecdsa_public_key", config.ecdsaPublicKey, config.ecdsaPublicKeyFile);
  return found;
}

/** Removes duplicates: during a key rotation, files may hold the same key. */
function keySet(keys: readonly VerifyingKey[]): KeySet {
  return new KeySet([...new Map(keys.map((key) => [key.fingerprint, key])).values()], false);
}

async function makeConfigured(configured: Configured, bytes: Buffer, section: string): Promise<VerifyingKey> {
  try {
    return await makeKey(configured, bytes);
  } catch (error) {
    throw new Error(`${section}.${configured.name}: ${(error as Error).message}`, { cause: error });
  }
}

async function makeKey({ kind, path }: Configured, bytes: Buffer): Promise<VerifyingKey> {
  if (kind === "hmac") {
    // A line feed that an editor added at the end isn't part of the key.
    const end = path !== "" && bytes[bytes.length - 1] === LINE_FEED ? bytes.length - 1 : bytes.length;
    if (end === 0) throw new Error("must not be empty");
    return hmacKey(bytes.subarray(0, end));
  }
  const key = publicKey(parsePublicKey(bytes.toString("utf8"), kind));
  if (key === undefined) throw new Error("fits no supported algorithm");
  return key;
}
