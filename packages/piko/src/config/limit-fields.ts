// Fields with a special meaning: limits on a number or a size, and lists of address ranges.

import { z } from "zod";
import { AddressRanges } from "../base/address-ranges.js";
import type { Field } from "./declaration.js";
import { bytes, integer, strings } from "./fields.js";

/** A maximum number of something. 0 in the configuration means no limit, which is Infinity in the program. */
export function countLimit(defaultValue: number, description: string): Field<number> {
  return unlimitedByZero(integer(defaultValue, description, { min: 0 }));
}

/** A maximum number of bytes; 0 means no limit. */
export function bytesLimit(defaultBytes: number, description: string): Field<number> {
  return unlimitedByZero(bytes(defaultBytes, description, { min: 0, max: Number.MAX_SAFE_INTEGER }));
}

/** Addresses and networks. */
export function addressRanges(description: string): Field<AddressRanges> {
  const words = strings(description);
  const schema = words.schema.transform((entries, context) => {
    try {
      return new AddressRanges(entries);
    } catch (error) {
      context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
      return z.NEVER;
    }
  });
  return { ...words, schema };
}

function unlimitedByZero(field: Field<number>): Field<number> {
  const schema = field.schema.transform((value) => (value === 0 ? Number.POSITIVE_INFINITY : value));
  return { ...field, schema };
}
