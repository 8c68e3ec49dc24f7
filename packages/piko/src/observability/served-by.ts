// Who serves a request, in the form used by the lines of an access log. Created once per tunnel or node, and shared by all
// requests that it serves.

import { visibleJson } from "../base/visible-text.js";

export class ServedBy {
  /** Members of a JSON object, each preceded by a comma. All values are strings. */
  readonly json: Uint8Array;
  /** The same, for other formats. */
  readonly fields: Readonly<Record<string, string>>;

  constructor(fields: Readonly<Record<string, string>>) {
    this.fields = fields;
    const members = Object.entries(fields).map(([key, value]) => `,"${key}":${JSON.stringify(value)}`);
    this.json = Buffer.from(visibleJson(members.join("")));
  }
}

/** For a request that has no upstream yet. */
export const NOBODY: ServedBy = new ServedBy({});
