// Finds the credential fields of a request, in one pass over its fields.

import { FIELD_AUTHORIZATION, FIELD_X_PIKO_AUTHORIZATION, FIELD_X_PIKO_TENANT_ID } from "./field-names.js";
import { FIELD_ID, FIELD_STRIDE, type RequestHead, VALUE_END, VALUE_START } from "./head.js";

/** Reused for one request after another. Values are indexes of fields in the request's head, -1 for none. */
export class CredentialFields {
  /** `x-piko-authorization`, otherwise `Authorization`. Only the first field of each name counts, unless it is empty (as in Go Piko). */
  credential = -1;
  /** `x-piko-tenant-id`. */
  tenant = -1;

  read(head: RequestHead): void {
    const { fieldCount, fields } = head;
    let own = -1;
    let general = -1;
    let tenant = -1;
    for (let index = 0; index < fieldCount; index++) {
      const id = fields[index * FIELD_STRIDE + FIELD_ID];
      if (id === FIELD_X_PIKO_AUTHORIZATION) {
        if (own < 0) own = index;
      } else if (id === FIELD_AUTHORIZATION) {
        if (general < 0) general = index;
      } else if (id === FIELD_X_PIKO_TENANT_ID && tenant < 0) {
        tenant = index;
      }
    }
    if (own >= 0 && isEmpty(head, own)) own = -1;
    if (general >= 0 && isEmpty(head, general)) general = -1;
    this.credential = own >= 0 ? own : general;
    this.tenant = tenant;
  }
}

/** A field's value, byte for byte (latin1); undefined if `index` is -1. */
export function valueOf(head: RequestHead, index: number): string | undefined {
  if (index < 0) return undefined;
  const { buffer, fields } = head;
  const record = index * FIELD_STRIDE;
  return buffer.toString("latin1", fields[record + VALUE_START], fields[record + VALUE_END]);
}

function isEmpty({ fields }: RequestHead, index: number): boolean {
  const record = index * FIELD_STRIDE;
  return fields[record + VALUE_START] === fields[record + VALUE_END];
}
