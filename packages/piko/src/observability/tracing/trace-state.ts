// `tracestate` (W3C Trace Context level 1, section 3.3): data of the tracing systems that take part in a trace. Piko adds nothing
// to it, and drops it if it isn't well-formed.

/** Longer ones may be dropped (section 3.3.1.5). */
const MAX_CHARS = 512;
const MAX_MEMBERS = 32;

const MEMBER =
  /^(?:[a-z][-a-z0-9_*/]{0,255}|[a-z0-9][-a-z0-9_*/]{0,240}@[a-z][-a-z0-9_*/]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** Whether the value, joined with commas from several fields, is a valid tracestate. */
export function isTraceState(value: string): boolean {
  if (value.length > MAX_CHARS) return false;
  const members = value
    .split(",")
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ""))
    .filter((member) => member !== "");
  if (members.length > MAX_MEMBERS || !members.every((member) => MEMBER.test(member))) return false;
  return new Set(members.map((member) => member.slice(0, member.indexOf("=")))).size === members.length;
}
