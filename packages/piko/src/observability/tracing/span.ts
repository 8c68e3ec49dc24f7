// A span in OTLP's JSON encoding (opentelemetry-proto, `trace.proto`; ids in hexadecimal, 64-bit numbers as text).

/** Longer texts are truncated: they come from clients. */
const MAX_TEXT_CHARS = 1_024;

/** OTLP's numbers for kinds and statuses. */
export const SPAN_SERVER = 2;
export const SPAN_CLIENT = 3;
const STATUS_ERROR = 2;

/** Attributes as text: members of a JSON array, each preceded by a comma. Objects would cost more than the rest of a span. */
export type AttributeText = string;

/** A part of a trace that has ended. Names and keys don't come from clients, so they aren't escaped. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty if there is none. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly kind: typeof SPAN_SERVER | typeof SPAN_CLIENT;
  readonly name: string;
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: AttributeText;
  /** Whether the operation failed. */
  readonly failed: boolean;
}

/** A span as the text of a JSON object. */
export function spanJson(span: Span): string {
  const { attributes, failed, kind, name, parentSpanId, spanId, traceId, traceState } = span;
  const parent = parentSpanId === "" ? "" : `"parentSpanId":"${parentSpanId}",`;
  const state = traceState === "" ? "" : `"traceState":${quoted(traceState)},`;
  const times = `"startTimeUnixNano":"${nanosOf(span.startMs)}","endTimeUnixNano":"${nanosOf(span.endMs)}"`;
  const status = failed ? `,"status":{"code":${STATUS_ERROR}}` : "";
  return `{"traceId":"${traceId}","spanId":"${spanId}",${parent}${state}"name":"${name}","kind":${kind},${times},"attributes":${listed(attributes)}${status}}`;
}

/** The attributes as a JSON array. */
export function listed(attributes: AttributeText): string {
  return `[${attributes.slice(1)}]`;
}

/** A text attribute; empty if there is no value. */
export function textAttribute(key: string, value: string | undefined): AttributeText {
  return value === undefined ? "" : `,{"key":"${key}","value":{"stringValue":${quoted(value)}}}`;
}

/** An integer attribute. */
export function intAttribute(key: string, value: number): AttributeText {
  return `,{"key":"${key}","value":{"intValue":"${value}"}}`;
}

/** A JSON string of any text, truncated. Texts from clients can contain any character. */
function quoted(text: string): string {
  const cut = text.length > MAX_TEXT_CHARS ? text.slice(0, MAX_TEXT_CHARS) : text;
  return PLAIN.test(cut) ? `"${cut}"` : JSON.stringify(cut);
}

/** Matches text without characters that JSON escapes. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** Nanoseconds, rounded to microseconds: a double can't hold more of the time since 1970. */
function nanosOf(ms: number): string {
  return `${Math.round(ms * 1_000)}000`;
}
