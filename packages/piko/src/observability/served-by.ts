// Who serves a request, as the lines of an access log say it. Made once for each tunnel or node, and used by all requests
// that it serves.

import { visibleJson } from "../base/visible-text.js";

export class ServedBy {
  /** Members of a JSON object, each behind a comma; they are text. */
  readonly json: Uint8Array;
  /** The same for other formats. */
  readonly fields: Readonly<Record<string, string>>;

  constructor(fields: Readonly<Record<string, string>>) {
    this.fields = fields;
    const members = Object.entries(fields).map(([key, value]) => `,"${key}":${JSON.stringify(value)}`);
    this.json = Buffer.from(visibleJson(members.join("")));
  }
}

/** Of a request that nobody has got so far. */
export const NOBODY: ServedBy = new ServedBy({});
