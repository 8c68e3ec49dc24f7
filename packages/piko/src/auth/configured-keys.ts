// Keys of the configuration: as text, or in files that are watched.

import type { Clock } from "@piko/tunnel";
import { parsePublicKey, type TokenConfig } from "../config/auth.js";
import { WatchedFile } from "../net/watched-file.js";
import type { Logger } from "../observability/logger.js";
import type { KeySource } from "./key-source.js";
import { hmacKey, KeySet, publicKey, type VerifyingKey } from "./keys.js";
import type { KeySeeker } from "./sought-keys.js";

/** Largest file of a key. */
const MAX_KEY_BYTES = 65_536;
const LINE_FEED = 0x0a;

type Kind = "hmac" | "rsa" | "ec";

/** One key: its text, or its file. */
interface Configured {
  readonly kind: Kind;
  /** `hmac_secret_key_file`. */
  readonly name: string;
  readonly text: string;
  /** Empty: it is the text. */
  readonly path: string;
}

export interface ConfiguredKeysOptions {
  readonly config: TokenConfig;
  /** Where the settings are: `proxy.auth`. */
  readonly section: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** There are other keys from now on. */
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

  /** Reads the keys; rejects if one of the files isn't what it should be. */
  static async load(options: ConfiguredKeysOptions): Promise<ConfiguredKeys> {
    const { clock, logger, onChange, section } = options;
    const configured = listKeys(options.config);
    const source = new ConfiguredKeys(new KeySet([], false));
    const contents: Buffer[] = configured.map(({ text }) => Buffer.from(text, "utf8"));
    const watch = ({ name, path }: Configured, index: number): WatchedFile => {
      const setting = `${section}.${name}`;
      try {
        return new WatchedFile({
          path,
          maxBytes: MAX_KEY_BYTES,
          clock,
          onChange: (bytes) => void change(bytes, index, setting),
          onFailure: (error) =>
            logger.warn("could not read key, the last one goes on counting", { setting, error }),
        });
      } catch (error) {
        throw new Error(`${setting}: ${(error as Error).message}`, { cause: error });
      }
    };
    const change = async (bytes: Buffer, index: number, setting: string): Promise<void> => {
      const next = contents.with(index, bytes);
      try {
        const keys = await makeKeys(configured, next, section);
        if (source.#closed) return;
        contents[index] = bytes;
        source.#keys = keys;
        logger.info("key changed", { setting });
        onChange();
      } catch (error) {
        logger.warn("could not use key, the last one goes on counting", { setting, error });
      }
    };
    try {
      source.#files = configured.flatMap((key, index) => {
        if (key.path === "") return [];
        const file = watch(key, index);
        contents[index] = file.bytes;
        return [file];
      });
      source.#keys = await makeKeys(configured, contents, section);
    } catch (error) {
      source.close();
      throw error;
    }
    return source;
  }

  get keys(): KeySet {
    return this.#keys;
  }

  /** Tokens don't name these keys. */
  lacks(): boolean {
    return true;
  }

  lookFor(seeker: KeySeeker): void {
    seeker.onKeysTold(true);
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

async function makeKeys(
  configured: readonly Configured[],
  contents: readonly Buffer[],
  section: string,
): Promise<KeySet> {
  const keys: VerifyingKey[] = [];
  for (const [index, each] of configured.entries()) {
    try {
      keys.push(await makeKey(each, contents[index] ?? Buffer.alloc(0)));
    } catch (error) {
      throw new Error(`${section}.${each.name}: ${(error as Error).message}`, { cause: error });
    }
  }
  // Files hold the same while a key is replaced.
  return new KeySet([...new Map(keys.map((key) => [key.fingerprint, key])).values()], false);
}

async function makeKey({ kind, path }: Configured, bytes: Buffer): Promise<VerifyingKey> {
  if (kind === "hmac") {
    // An editor's last line feed is none of the key.
    const end = path !== "" && bytes[bytes.length - 1] === LINE_FEED ? bytes.length - 1 : bytes.length;
    if (end === 0) throw new Error("must not be empty");
    return hmacKey(bytes.subarray(0, end));
  }
  const key = publicKey(parsePublicKey(bytes.toString("utf8"), kind));
  if (key === undefined) throw new Error("verifies no algorithm");
  return key;
}
