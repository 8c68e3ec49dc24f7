// One HTTP message as a reader understands it; used to compare two readers of the same bytes.

/** Names and values alternately, as on the wire: `["Host", "h", "A", "b"]`. */
export type FieldList = readonly string[];

export interface Message {
  /** `GET /a 1.1` or `1.1 200 OK`. */
  readonly line: string;
  readonly fields: FieldList;
  /** Without framing; each byte is one character. */
  readonly body: string;
  readonly trailers: FieldList;
}

/** Describes the first difference between two lists of messages; undefined if they are equal. */
export function difference(left: readonly Message[], right: readonly Message[]): string | undefined {
  const count = Math.max(left.length, right.length);
  for (let i = 0; i < count; i++) {
    if (isSame(left[i], right[i])) continue;
    return `message ${i}: ${JSON.stringify(left[i])}\n       not: ${JSON.stringify(right[i])}`;
  }
  return undefined;
}

function isSame(left: Message | undefined, right: Message | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return (
    left.line === right.line &&
    left.body === right.body &&
    isSameList(left.fields, right.fields) &&
    isSameList(left.trailers, right.trailers)
  );
}

function isSameList(left: FieldList, right: FieldList): boolean {
  if (left.length !== right.length) return false;
  for (let i = 0; i < left.length; i++) {
    if (left[i] !== right[i]) return false;
  }
  return true;
}
