// Turns the addresses of `cluster.join` into addresses to dial. Called for each join and again for each rejoin, because
// names come to mean other nodes.

import { lookup as dnsLookup } from "node:dns/promises";
import { isIP } from "node:net";
import { type Clock, systemClock } from "@piko/tunnel";
import { type HostPort, formatHostPort } from "../config/address.js";
import { GossipError } from "./errors.js";
import { canonicalIp, parsePeerAddress } from "./peer-address.js";

/** An address that could not be used, and why. */
export interface JoinFailure {
  readonly address: string;
  readonly error: Error;
}

/** What the addresses stand for. A name that does not exist, or has no records, stands for nothing, and is no failure. */
export interface Resolution {
  /** `ip:port`, each once. */
  readonly targets: readonly string[];
  readonly failures: readonly JoinFailure[];
}

/** All IP addresses of a name; none if the name doesn't exist. */
export type Lookup = (host: string) => Promise<readonly string[]>;

export interface ResolveOptions {
  /** Port of addresses without one. */
  readonly defaultPort: number;
  readonly lookup?: Lookup;
  /** Time for each name. */
  readonly timeoutMs?: number;
  readonly clock?: Clock;
}

/**
 * Resolves join addresses: IP addresses (IPv6 with or without brackets) and names, with or without ports. Each address
 * stands for itself: a bad one is a failure among the targets of the others. Never rejects.
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
  const { lookup = systemLookup, timeoutMs = 5_000, clock = systemClock } = options;
  return new Promise((resolve, reject) => {
    const timer = clock.setTimeout(
      () =>
        reject(new GossipError("PIKO_GOSSIP_RESOLVE", `resolve ${host}: no answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
    lookup(host)
      .then(resolve, (cause: unknown) => {
        const reason = cause instanceof Error ? cause.message : String(cause);
        reject(new GossipError("PIKO_GOSSIP_RESOLVE", `resolve ${host}: ${reason}`, { cause }));
      })
      .finally(() => clock.clearTimeout(timer));
  });
}

const systemLookup: Lookup = async (host) => {
  try {
    const records = await dnsLookup(host, { all: true });
    return records.map(({ address }) => address);
  } catch (error) {
    // No such name, or a name without addresses: a headless service whose first pod is about to start.
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTFOUND" || code === "ENODATA") return [];
    throw error;
  }
};
