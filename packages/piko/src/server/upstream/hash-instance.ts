// The name of a listener in logs and on pages: a hash of its instance, which anyone could use to replace its tunnel.

import { createHash } from "node:crypto";

/** A short hash of a listener's instance: the same on every node. */
export function hashInstance(instance: string): string {
  return createHash("sha256").update(instance).digest("hex").slice(0, 12);
}
