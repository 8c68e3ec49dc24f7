// The name of a listener in logs and on pages: a hash, because anyone who knows the real name could replace its tunnel.

import { createHash } from "node:crypto";

/** A short hash of the name that an agent gives to its listener: the same on every node. */
export function hashInstance(instance: string): string {
  return createHash("sha256").update(instance).digest("hex").slice(0, 12);
}
