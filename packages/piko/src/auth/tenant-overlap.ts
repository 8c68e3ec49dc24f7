// Warns operators about tenants of a server that may listen on each other's endpoints.

import type { TenantConfig } from "../config/auth.js";

/** Maximum overlaps in one message. */
const MAX_REPORTED = 10;

/** Tenants without patterns, and pairs of tenants whose patterns can match the same endpoint. */
export interface TenantOverlaps {
  readonly unbound: readonly string[];
  readonly pairs: readonly string[];
}

export function findOverlaps(tenants: readonly TenantConfig[]): TenantOverlaps {
  const unbound = tenants.filter(({ endpoints }) => endpoints.length === 0).map(({ id }) => id);
  const pairs: string[] = [];
  tenants.forEach((one, index) => {
    for (const other of tenants.slice(index + 1)) {
      if (pairs.length >= MAX_REPORTED) return;
      const found = findShared(one.endpoints, other.endpoints);
      if (found !== undefined) pairs.push(`${one.id} and ${other.id}: ${found}`);
    }
  });
  return { unbound, pairs };
}

function findShared(one: readonly string[], other: readonly string[]): string | undefined {
  for (const a of one) {
    for (const b of other) if (meet(a, b)) return a === b ? a : `${a}, ${b}`;
  }
  return undefined;
}

/** Whether some id matches both patterns. */
export function meet(a: string, b: string): boolean {
  // A cheap check for nearly all pairs: the texts before the first stars must not differ.
  const [headA = "", headB = ""] = [a.split("*", 1)[0], b.split("*", 1)[0]];
  if (!headA.startsWith(headB) && !headB.startsWith(headA)) return false;
  // row[j]: whether the first i characters of `a` and the first j of `b` can match the same text.
  let row: boolean[] = [true];
  for (let j = 1; j <= b.length; j++) row.push(row[j - 1] === true && b[j - 1] === "*");
  for (let i = 1; i <= a.length; i++) {
    const next: boolean[] = [row[0] === true && a[i - 1] === "*"];
    for (let j = 1; j <= b.length; j++) {
      const star = a[i - 1] === "*" || b[j - 1] === "*";
      next.push(
        star ? row[j] === true || next[j - 1] === true : row[j - 1] === true && a[i - 1] === b[j - 1],
      );
    }
    row = next;
  }
  return row[b.length] === true;
}
