// Resolves the addresses of `cluster.join`. Called for each join and again for each rejoin, because names may resolve to other
// nodes later.

import { isIP } from "node:net";
import { type Clock, systemClock, type LookupDone } from "@piko/tunnel";
import { type HostPort, formatHostPort } from "../../base/address.js";
import { GossipError } from "../wire/errors.js";
import { canonicalIp, parsePeerAddress } from "../wire/peer-address.js";

/** An address that could not be used, and why. */
export interface JoinFailure {
  readonly address: string;
  readonly error: Error;
}

/** What the addresses resolve to. A name that doesn't exist, or has no records, resolves to nothing, and isn't a failure. */
export interface Resolution {
  /** `ip:port`, without duplicates. */
  readonly targets: readonly string[];
  readonly failures: readonly JoinFailure[];
}

/** Finds all IP addresses of a name; none if the name doesn't exist. */
export type Lookup = (host: string, done: LookupDone) => void;

export interface ResolveOptions {
  /** Port of addresses without one. */
  readonly defaultPort: number;
  readonly lookup: Lookup;
  /** Timeout for each name. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/**
 * Resolves join addresses: IP addresses (IPv6 with or without brackets) and names, with or without ports. Addresses are
 * independent: an invalid one is a failure next to the targets of the others. Never rejects.
 */
export async function resolveJoinAddresses(
  addresses: readonly string[],
  options: ResolveOptions,
): Promise<Resolution> {
  const targets = new Set<string>();
  const failures: JoinFailure[] = [];
  const found = await Promise.all(
    addresses.map(async (address) => {
      try {
        return await resolveOne(address, options);
      } catch (error) {
        failures.push({ address, error: error as Error });
        return [];
      }
    }),
  );
  for (const target of found.flat()) targets.add(target);
  return { targets: [...targets], failures };
}

async function resolveOne(address: string, options: ResolveOptions): Promise<readonly string[]> {
  const { host, port } = parseJoinAddress(address, options.defaultPort);
  if (isIP(host) !== 0) return [formatHostPort({ host: canonicalIp(host), port })];
  const ips = await withTimeout(host, options);
  return ips.map((ip) => formatHostPort({ host: canonicalIp(ip), port }));
}

/**
 * Parses `host`, `host:port`, an IPv4 or IPv6 address, `[ipv6]` or `[ipv6]:port`.
 *
 * @throws GossipError that quotes the text.
 */
export function parseJoinAddress(text: string, defaultPort: number): HostPort {
  const inner = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  const host = isIP(inner) === 6 ? inner : text;
  const bare = isIP(host) !== 0 || !text.includes(":");
  const parsed = parsePeerAddress(bare ? formatHostPort({ host, port: defaultPort }) : text);
  if (parsed === undefined)
    throw new GossipError("PIKO_GOSSIP_BAD_ADDRESS", `invalid join address ${JSON.stringify(text)}`);
  return parsed;
}

async function withTimeout(host: string, options: ResolveOptions): Promise<readonly string[]> {
  const { lookup, timeoutMs = 5_000, clock = systemClock } = options;
  return new Promise((resolve, reject) => {
    // The lookup continues: an answer that arrives later serves the next attempt.
    const timer = clock.setTimeout(
      () =>
        reject(new GossipError("PIKO_GOSSIP_RESOLVE", `resolve ${host}: no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    lookup(host, (error, ips) => {
      clock.clearTimeout(timer);
      if (error === undefined) resolve(ips);
      else
        reject(new GossipError("PIKO_GOSSIP_RESOLVE", `resolve ${host}: ${error.message}`, { cause: error }));
    });
  });
}
