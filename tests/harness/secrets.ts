// The secrets that tests use, and the search for them in what programs print. The tests' own generators (`token`, key pairs)
// register what they make, and what a program receives is found from its arguments, environment and files; a test registers
// any other secret itself, with `secret`. Secrets that programs generate are recognized by their form.

import type { KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";

/** Shorter values can't be distinguished from ordinary words. */
const MIN_LENGTH = 7;
/** A text is searched at every STRIDE-th position for a piece of a secret's end: one of these positions is inside that end. */
const STRIDE = 4;

/** Settings whose value is a secret: names of flags and of environment variables, both in the form of flags. */
const IN_VALUE = /(?:^|-)(?:secret|secret-key|token|token-key)$/;
/** Settings whose value is the path of a file with secrets. */
const IN_FILES = /(?:^|-)(?:secret-key-files?|token-file|key-file|tls-key|client-key)$/;
const IN_YAML = /\b(?:hmac_secret_key|token):\s*"?([^\s",}\]*][^\s",}\]]*)/g;
/** A token, a private key, or the hop secret of a node. */
const SHAPES =
  /\beyJ[\w-]+\.eyJ[\w-]*\.[\w-]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY|(?:x-piko-hop|hop-secret)"?[:,]\W*(?:value\W+)?[\w-]{22}\b/i;

/** The secrets, by each piece of their ends that the search may hit. */
const pieces = new Map<string, Set<string>>();
const keys = new WeakSet<KeyObject>();

/** Registers a secret, and returns it. */
export function secret(value: string): string {
  if (value.length < MIN_LENGTH) throw new Error(`"${value}" is too short to be found where it mustn't be`);
  register(value);
  return value;
}

/** Registers a private key: its private number, and the lines of its PEM. */
export function privateKey(key: KeyObject): KeyObject {
  if (keys.has(key)) return key;
  keys.add(key);
  register(key.export({ format: "jwk" }).d ?? "");
  registerText(key.export({ format: "pem", type: "pkcs8" }).toString());
  return key;
}

/** Registers a value if it is long enough to be distinguished from ordinary words. */
export function register(value: string): void {
  if (value.length < MIN_LENGTH) return;
  const end = value.length - STRIDE;
  for (let at = end; at > end - STRIDE; at--) {
    const piece = value.slice(at, at + STRIDE);
    const those = pieces.get(piece);
    if (those === undefined) pieces.set(piece, new Set([value]));
    else those.add(value);
  }
}

/** Registers what a program receives by its arguments, its environment and the files that these name. */
export function registerInputs(args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
  const words = args.flatMap((arg) => (arg.includes(" --") ? arg.split(/\s+/) : [arg]));
  for (const [at, word] of words.entries()) {
    const [, name, value = words[at + 1]] = /^--([\w.-]+)(?:=([^]*))?$/.exec(word) ?? [];
    if (name !== undefined && value !== undefined && !value.startsWith("--"))
      registerSetting(name.replaceAll(".", "-"), value);
  }
  for (const [name, value] of Object.entries(env))
    registerSetting(name.toLowerCase().replaceAll("_", "-"), value);
}

function registerSetting(name: string, value: string): void {
  const list = value.split(",");
  if (IN_VALUE.test(name)) register(value);
  else if (name.endsWith("secret-keys")) list.map(register);
  else if (IN_FILES.test(name)) for (const path of list) registerText(read(path));
  else if (name.endsWith("tracing-headers")) for (const each of list) register(each.replace(/^.*?=/, ""));
  else if (name === "config-path") for (const [, each = ""] of read(value).matchAll(IN_YAML)) register(each);
}

/** Registers a secret, or the lines of a private key as PEM. */
function registerText(text: string): void {
  for (const line of text.split("\n")) if (!line.startsWith("-----")) register(line.trim());
}

/** Returns the file's text. A file may be missing because that is what a test is about. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Returns a secret that occurs in the line, if any. */
export function findSecret(line: string): string | undefined {
  for (let at = 0; at + STRIDE <= line.length; at += STRIDE) {
    for (const each of pieces.get(line.slice(at, at + STRIDE)) ?? []) if (line.includes(each)) return each;
  }
  return SHAPES.exec(line)?.[0];
}

/** Throws if a secret occurs in one of these lines of a program's output. */
export function expectNoSecrets(program: string, lines: Iterable<string>): void {
  for (const line of lines) {
    const found = findSecret(line);
    if (found === undefined) continue;
    const short = `${found.slice(0, 4)}… (${found.length} characters)`;
    throw new Error(`${program} has printed the secret ${short}: ${line.replaceAll(found, "[SECRET]")}`);
  }
}
