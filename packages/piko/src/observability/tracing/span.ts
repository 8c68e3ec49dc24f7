// A span as OTLP writes it in JSON (opentelemetry-proto, `trace.proto`; ids in hexadecimal, 64-bit numbers as text).

/** Longer texts are cut: they come from clients. */
const MAX_TEXT_CHARS = 1_024;

/** OTLP's numbers of kinds and statuses. */
export const SPAN_SERVER = 2;
export const SPAN_CLIENT = 3;
const STATUS_ERROR = 2;

/** Attributes as text: members of a JSON array, each behind a comma. Objects of them cost more than all the rest of a span. */
export type AttributeText = string;

/** A part of a trace that is over. Names and keys are ours. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for none. */
  readonly parentSpanId: string;
  readonly traceState: string;
  readonly kind: typeof SPAN_SERVER | typeof SPAN_CLIENT;
  readonly name: string;
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: AttributeText;
  /** What it stands for has failed. */
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

/** The list of attributes. */
export function listed(attributes: AttributeText): string {
  return `[${attributes.slice(1)}]`;
}

/** An attribute, or nothing. */
export function textAttribute(key: string, value: string | undefined): AttributeText {
  return value === undefined ? "" : `,{"key":"${key}","value":{"stringValue":${quoted(value)}}}`;
}

/** An attribute that is a whole number. */
export function intAttribute(key: string, value: number): AttributeText {
  return `,{"key":"${key}","value":{"intValue":"${value}"}}`;
}

/** Texts of clients are of any characters. */
function quoted(text: string): string {
  const cut = text.length > MAX_TEXT_CHARS ? text.slice(0, MAX_TEXT_CHARS) : text;
  return PLAIN.test(cut) ? `"${cut}"` : JSON.stringify(cut);
}

/** Without a character that JSON escapes. */
const PLAIN = /^[ !#-[\]-~]*$/;

/** To the microsecond, which is what a double holds of the time since 1970. */
function nanosOf(ms: number): string {
  return `${Math.round(ms * 1_000)}000`;
}
