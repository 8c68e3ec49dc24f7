// `tracestate` (W3C Trace Context level 1, section 3.3): what the systems of a trace say to themselves. Nothing here adds to it;
// one that isn't well-formed goes no further.

/** Longer ones may be dropped (section 3.3.1.5). */
const MAX_CHARS = 512;
const MAX_MEMBERS = 32;

const MEMBER =
  /^(?:[a-z][-a-z0-9_*/]{0,255}|[a-z0-9][-a-z0-9_*/]{0,240}@[a-z][-a-z0-9_*/]{0,13})=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;

/** Whether the value, of several fields joined with commas, is one. */
export function isTraceState(value: string): boolean {
  if (value.length > MAX_CHARS) return false;
  const members = value
    .split(",")
    .map((member) => member.replace(/^[ \t]+|[ \t]+$/g, ""))
    .filter((member) => member !== "");
  if (members.length > MAX_MEMBERS || !members.every((member) => MEMBER.test(member))) return false;
  return new Set(members.map((member) => member.slice(0, member.indexOf("=")))).size === members.length;
}
