// Builders for each kind of setting, each with its default and description.

import { accessSync, constants, statSync } from "node:fs";
import { z } from "zod";
import { type HostPort, formatHostPort, parseHostPort } from "../base/address.js";
import { parseByteSize } from "../base/byte-size.js";
import type { Field } from "./declaration.js";
import { MAX_DURATION_MS, formatDuration, parseDuration } from "../base/duration.js";
import { parseUrl } from "../base/service-address.js";

type Must = { error: (issue: { input?: unknown }) => string };

/** The error for a value of the wrong type; a missing value has its own. */
function must(be: string): Must {
  return { error: (issue) => (issue.input === undefined ? "is required" : `must be ${be}`) };
}

/** Turns a parser that throws into a step of a schema; the message of its error becomes the problem. */
function parsing<In, Out>(parse: (value: In) => Out): (value: In, context: z.RefinementCtx) => Out {
  return (value, context) => {
    try {
      return parse(value);
    } catch (error) {
      context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
      return z.NEVER;
    }
  };
}

function field<T>(
  schema: z.ZodType<T>,
  type: string,
  description: string,
  more: Partial<Field<T>> = {},
): Field<T> {
  return {
    kind: "field",
    schema,
    type,
    description,
    defaultText: "",
    required: false,
    secret: false,
    repeatable: false,
    fromText: (text) => text,
    text: true,
    ...more,
  };
}

/** A duration in milliseconds. Negative ones are rejected, and so is 0 if `min` excludes it. */
export function duration(
  defaultText: string,
  description: string,
  options: { min?: string } = {},
): Field<number> {
  const minMs = parseDuration(options.min ?? "0");
  const schema = z
    .string(must("a duration with a unit, such as 10s or 500ms"))
    .transform(
      parsing((text) => {
        const ms = parseDuration(text);
        if (ms < minMs)
          throw new RangeError(`${text} is too short: must be at least ${formatDuration(minMs)}`);
        if (ms > MAX_DURATION_MS) {
          throw new RangeError(`${text} is too long: must be at most ${formatDuration(MAX_DURATION_MS)}`);
        }
        return ms;
      }),
    )
    .prefault(defaultText);
  // Not `text`: an integer has no unit and is rejected in YAML.
  return field(schema, "duration", description, { defaultText, text: false });
}

/** A size in bytes: a number, or text with a unit such as `64KiB`. */
export function bytes(
  defaultBytes: number,
  description: string,
  options: { min: number; max: number },
): Field<number> {
  const expected = "a number of bytes, such as 65536 or 64KiB";
  const schema = z
    .union([z.int(), z.string()], must(expected))
    .transform(
      parsing((value) => {
        const size = parseByteSize(String(value));
        if (size < options.min)
          throw new RangeError(`${value} is too small: must be at least ${options.min}`);
        if (size > options.max) throw new RangeError(`${value} is too large: must be at most ${options.max}`);
        return size;
      }),
    )
    .prefault(defaultBytes);
  return field(schema, "bytes", description, { defaultText: String(defaultBytes), text: false });
}

/** A whole number. */
export function integer(
  defaultValue: number,
  description: string,
  { max = Number.MAX_SAFE_INTEGER, min }: { min: number; max?: number },
): Field<number> {
  const bounds = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `between ${min} and ${max}`;
  const expected = `a whole number, ${bounds}`;
  const schema = z
    .int(must(expected))
    .min(min, `must be ${expected}`)
    .max(max, `must be ${expected}`)
    .default(defaultValue);
  const fromText = (text: string): unknown => (/^[+-]?\d+$/.test(text) ? Number(text) : text);
  return field(schema, "int", description, { defaultText: String(defaultValue), fromText, text: false });
}

/** A number that may have a fraction. */
export function number(
  defaultValue: number,
  description: string,
  { max = Number.POSITIVE_INFINITY, min }: { min: number; max?: number },
): Field<number> {
  const expected = max === Number.POSITIVE_INFINITY ? `at least ${min}` : `between ${min} and ${max}`;
  const schema = z
    .number(must("a number"))
    .min(min, `must be ${expected}`)
    .max(max, `must be ${expected}`)
    .default(defaultValue);
  const fromText = (text: string): unknown => (/^[+-]?(\d+\.?\d*|\.\d+)$/.test(text) ? Number(text) : text);
  return field(schema, "float", description, { defaultText: String(defaultValue), fromText, text: false });
}

// The booleans of Go's flag parser and of YAML 1.1.
const TRUE = /^(1|t|true|y|yes|on)$/i;
const FALSE = /^(0|f|false|n|no|off)$/i;

/** A switch, off by default unless `defaultValue` is true. */
export function bool(description: string, defaultValue = false): Field<boolean> {
  const fromText = (text: string): unknown => (TRUE.test(text) ? true : FALSE.test(text) ? false : text);
  const schema = z
    .preprocess(
      (value) => (typeof value === "string" ? fromText(value) : value),
      z.boolean(must("true or false")),
    )
    .prefault(defaultValue);
  return field(schema, "bool", description, { defaultText: String(defaultValue), fromText, text: false });
}

/** Free text; empty by default. */
export function text(description: string): Field<string> {
  return field(z.string(must("text")).default(""), "string", description);
}

/** Text that must be given. */
export function requiredText(description: string, pattern: RegExp, expected: string): Field<string> {
  const schema = z.string(must("text")).regex(pattern, `must be ${expected}`);
  return field(schema, "string", description, { required: true });
}

/** Text that must be given. `parse` only checks it here; it is parsed again elsewhere. */
export function requiredAddress(description: string, parse: (text: string) => unknown): Field<string> {
  const schema = z.string(must("an address")).transform(
    parsing((value) => {
      parse(value);
      return value;
    }),
  );
  return field(schema, "address", description, { required: true });
}

/** Text that `parse` checks and normalizes; empty by default, and then not parsed. */
export function optionalText(
  type: string,
  description: string,
  parse: (text: string) => string,
): Field<string> {
  const schema = z
    .string(must("text"))
    .transform(parsing((value) => (value === "" ? "" : parse(value))))
    .prefault("");
  return field(schema, type, description);
}

/** Text that is never shown, neither in logs nor in errors or the help. */
export function secret(description: string): Field<string> {
  return field(z.string(must("text")).default(""), "string", description, { secret: true });
}

/** The path of an existing file; empty if there is none. */
export function file(description: string): Field<string> {
  const schema = z
    .string(must("the path of a file"))
    .transform(
      parsing((path) => {
        if (path !== "") mustBeReadable(path);
        return path;
      }),
    )
    .prefault("");
  return field(schema, "path", description);
}

/** Paths of existing files. */
export function files(description: string): Field<readonly string[]> {
  const words = strings(description);
  const schema = words.schema.transform(
    parsing((paths) => {
      for (const path of paths) mustBeReadable(path);
      return paths;
    }),
  );
  return { ...words, schema, type: "paths" };
}

/** Checks a path without opening it, because its content may be readable only once (`<(...)` of a shell). */
function mustBeReadable(path: string): void {
  let code: string | undefined;
  try {
    accessSync(path, constants.R_OK);
    if (statSync(path).isDirectory()) code = "EISDIR";
  } catch (error) {
    code = (error as NodeJS.ErrnoException).code ?? "unreadable";
  }
  if (code !== undefined) throw new RangeError(`can't read ${path} (${code})`);
}

/** One of a few words. */
export function choice<const T extends string>(
  words: readonly [T, ...T[]],
  defaultText: NoInfer<T>,
  description: string,
): Field<T> {
  const expected = `one of ${words.join(", ")}`;
  const schema = z
    .enum(words, { error: (issue) => `must be ${expected}${quoted(issue.input)}` })
    .default(defaultText as never) as unknown as z.ZodType<T>;
  return field(schema, words.join("|"), description, { defaultText });
}

function quoted(value: unknown): string {
  return typeof value === "string" ? ` (got ${JSON.stringify(value)})` : "";
}

const ADDRESS = "an address, such as :8000 or 127.0.0.1:8000";

/** An address to listen on. */
export function address(defaultText: string, description: string): Field<HostPort> {
  const schema = z.string(must(ADDRESS)).transform(parsing(parseHostPort)).prefault(defaultText);
  return field(schema, "address", description, { defaultText });
}

/** An address that is announced to others; empty if there is none. */
export function optionalAddress(description: string): Field<HostPort | undefined> {
  const schema = z
    .string(must(ADDRESS))
    .transform(
      parsing((value) => {
        if (value === "") return undefined;
        const parsed = parseHostPort(value);
        if (parsed.host === "" || parsed.port === 0) {
          throw new RangeError(
            `invalid address ${JSON.stringify(formatHostPort(parsed))}: needs a host and a port that others can connect to`,
          );
        }
        return parsed;
      }),
    )
    .prefault("");
  return field(schema, "address", description);
}

/** A base URL. User names and passwords are rejected; trailing slashes are dropped, and `ws` becomes `http`. */
export function url(defaultText: string, schemes: readonly string[], description: string): Field<string> {
  const schema = z
    .string(must("a url"))
    .transform(
      parsing((value) => {
        const parsed = parseUrl(value, schemes);
        if (parsed.username !== "" || parsed.password !== "") {
          throw new RangeError("invalid url: must not contain a user name or password");
        }
        if (parsed.search !== "" || parsed.hash !== "") {
          throw new RangeError(`invalid url ${JSON.stringify(value)}: must not have a query or fragment`);
        }
        const scheme = parsed.protocol.replace(/^ws/, "http");
        return `${scheme}//${parsed.host}${parsed.pathname.replace(/\/+$/, "")}`;
      }),
    )
    .prefault(defaultText);
  return field(schema, "url", description, { defaultText });
}

/** The URL of a forward proxy, which may contain a user name and a password; empty if there is none. */
export function optionalProxyUrl(schemes: readonly string[], description: string): Field<string> {
  const schema = z
    .string(must("a url"))
    .transform(parsing((value) => (value === "" ? "" : parseUrl(value, schemes).href)))
    .prefault("");
  return field(schema, "url", description, { secret: true });
}

/** A name that is a single word. */
export function name(defaultText: string, description: string): Field<string> {
  const expected = "1 to 63 letters, digits, dots, dashes and underscores";
  const schema = z
    .string(must("text"))
    .regex(/^[\w.-]{1,63}$/, `must be ${expected}`)
    .default(defaultText);
  return field(schema, "string", description, { defaultText });
}

/** Several words; as a flag, separated by commas or given several times. */
export function strings(description: string): Field<readonly string[]> {
  const schema = z
    .array(z.string(must("text")), must("a list of strings"))
    .readonly()
    .default([]);
  return field<readonly string[]>(schema, "strings", description, {
    repeatable: true,
    fromText: splitCommas,
  });
}

/** Splits at commas. A part in double quotes may contain commas; `""` in it stands for one quote. */
function splitCommas(value: string): readonly string[] {
  if (value === "") return [];
  const parts = value.match(/(?<=^|,)(?:"(?:[^"]|"")*"(?=,|$)|[^,]*)/g) ?? [];
  return parts.map((part) => (/^".*"$/s.test(part) ? part.slice(1, -1).replaceAll('""', '"') : part));
}
