// Keeps secrets out of log lines: values whose names suggest a secret, at any depth, and credentials within texts.

/** Replaces a secret. */
export const REDACTED = "[redacted]";

const SENSITIVE = /authorization|cookie|token|secret|password|hmac|privatekey|apikey|credential|pikohop/;
const CREDENTIALS = /\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+/gi;
const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi;
const MAX_DEPTH = 8;

/** A copy of a log line's fields that is safe to show. Errors become their text and that of their causes. */
export function redactFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactObject(fields, 0);
}

/** Hides credentials within a text, such as `Bearer abc` and the user of a URL. */
export function redactText(text: string): string {
  return text.replace(CREDENTIALS, `$1 ${REDACTED}`).replace(URL_PASSWORD, `$1${REDACTED}@`);
}

/** `dial: my-endpoint: connection refused`: an error's text, followed by its cause's unless the text contains it. */
export function errorText(error: Error): string {
  const own = error.message === "" ? error.name : error.message;
  if (!(error.cause instanceof Error) || error.cause.message === "" || own.includes(error.cause.message))
    return own;
  return `${own}: ${errorText(error.cause)}`;
}

/** Whether a name suggests that its value is a secret. */
export function isSecretName(name: string): boolean {
  return SENSITIVE.test(name.toLowerCase().replace(/[-_]/g, ""));
}

function redactObject(object: object, depth: number): Record<string, unknown> {
  const copy: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(object)) {
    copy[key] =
      isSecretName(key) && value !== "" && value !== undefined ? REDACTED : redactValue(value, depth + 1);
  }
  return copy;
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value === "string") return redactText(value);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Error) return redactText(errorText(value));
  if (value instanceof Date) return value;
  // This also ends cycles.
  if (depth >= MAX_DEPTH) return "[...]";
  if (Array.isArray(value)) return value.map((each: unknown) => redactValue(each, depth + 1));
  if (value instanceof Map || value instanceof Set) return redactValue([...value], depth + 1);
  return redactObject(value, depth);
}
