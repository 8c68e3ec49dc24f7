// Finds the IP addresses of host names, for gossip: by /etc/hosts, then by the name servers, with the search list that
// Kubernetes relies on. Not by the system's getaddrinfo: that occupies one of four threads until the name server answers or
// twenty seconds and more are over, and a process can't even end before.

import { lookup as systemLookup, Resolver } from "node:dns";
import { readFile } from "node:fs";
import { isIP, type LookupFunction } from "node:net";
import { type Clock, systemClock, type Timer } from "@piko/tunnel";
import { findInHosts, listNames, parseSearchRules } from "./resolver-config.js";

/** Called once; no addresses means that there is no such name, or that it has none. */
export type LookupDone = (error: Error | undefined, ips: readonly string[]) => void;

/** Asks for one name's addresses of one family. */
type Query = "resolve4" | "resolve6";

export interface HostLookupOptions {
  /** Where the two files are; replaced in tests. */
  readonly hostsPath?: string;
  readonly resolvConfPath?: string;
  /** `address:port` of name servers instead of those of resolv.conf. */
  readonly servers?: readonly string[];
  readonly clock?: Clock;
}

/** A question is repeated after this time, after twice the time, and so on. */
const TRY_MS = 1_000;
const TRIES = 4;
/** How long the addresses of one family wait for those of the other. */
const OTHER_FAMILY_MS = 500;
/** Names that are looked up at a time. */
const MAX_LOOKUPS = 256;

/** Looks up names. One that is being looked up is not asked for again: all who wait get the answer. */
export class HostLookup {
  readonly #options: HostLookupOptions;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, LookupDone[]>();
  readonly #resolvers = new Set<Resolver>();
  #closed = false;

  constructor(options: HostLookupOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** Looks a name up; never calls back at once. */
  lookup(host: string, done: LookupDone): void {
    const waiting = this.#waiting.get(host);
    if (waiting !== undefined) {
      waiting.push(done);
      return;
    }
    if (this.#closed || this.#waiting.size >= MAX_LOOKUPS) {
      const reason = this.#closed ? "closed" : `${MAX_LOOKUPS} lookups are running`;
      setImmediate(done, new Error(`lookup of ${host}: ${reason}`), []);
      return;
    }
    this.#waiting.set(host, [done]);
    const finish: LookupDone = (error, ips) => {
      const all = this.#waiting.get(host) ?? [];
      this.#waiting.delete(host);
      if (!this.#closed) for (const each of all) each(error, ips);
    };
    // Elsewhere names are kept in other places than these files.
    if (process.platform === "linux") this.#lookUp(host, finish);
    else askSystem(host, finish);
  }

  /** The same in the form that `net.connect` takes. */
  readonly forConnect: LookupFunction = (host, { all = false }, done) => {
    this.lookup(host, (error, ips) => {
      const addresses = ips.map((address) => ({ address, family: isIP(address) }));
      const [first] = addresses;
      if (first === undefined) done(error ?? new Error(`no addresses for ${host}`), "", 0);
      else if (all) done(null, addresses);
      else done(null, first.address, first.family);
    });
  };

  /** Nobody is called any more. */
  close(): void {
    this.#closed = true;
    for (const resolver of this.#resolvers) resolver.cancel();
    this.#waiting.clear();
  }

  #lookUp(host: string, done: LookupDone): void {
    const { hostsPath = "/etc/hosts", resolvConfPath = "/etc/resolv.conf", servers } = this.#options;
    // Read for each lookup: both change while a node runs. A missing one is an empty one.
    readFile(hostsPath, "latin1", (noHosts, hosts) => {
      const found = noHosts === null ? findInHosts(hosts, host) : [];
      if (found.length > 0) {
        done(undefined, found);
        return;
      }
      readFile(resolvConfPath, "latin1", (noConf, conf) => {
        // A new one for each lookup, because it reads the name servers of resolv.conf when it is made.
        const resolver = new Resolver({ timeout: TRY_MS, tries: TRIES });
        if (servers !== undefined) resolver.setServers(servers);
        this.#resolvers.add(resolver);
        const names = listNames(host, parseSearchRules(noConf === null ? conf : ""));
        askInTurn(resolver, names, this.#clock, (error, ips) => {
          this.#resolvers.delete(resolver);
          done(error, ips);
        });
      });
    });
  }
}

/**
 * The addresses of the first name that has any; the first error if none has and some could not be asked for. The last one
 * doesn't count: in a cluster without a way out nobody answers for `piko` itself, when all completed names don't exist.
 */
function askInTurn(resolver: Resolver, names: readonly string[], clock: Clock, done: LookupDone): void {
  let failure: Error | undefined;
  const next = (at: number): void => {
    const name = names[at];
    if (name === undefined) {
      done(failure, []);
      return;
    }
    askBoth(resolver, name, clock, (error, ips) => {
      if (at === 0 || at < names.length - 1) failure ??= error;
      if (ips.length > 0) done(undefined, ips);
      else next(at + 1);
    });
  };
  next(0);
}

/** Both families at once. Some name servers never answer for IPv6, which must not hold up IPv4, nor the reverse. */
function askBoth(resolver: Resolver, name: string, clock: Clock, done: LookupDone): void {
  const found: string[] = [];
  let failure: Error | undefined;
  let left = 2;
  let timer: Timer | undefined;
  const finish = (): void => {
    if (left < 0) return;
    left = -1;
    if (timer !== undefined) clock.clearTimeout(timer);
    done(failure, found);
  };
  for (const query of ["resolve4", "resolve6"] satisfies Query[]) {
    resolver[query](name, (error, ips) => {
      if (left < 0) return;
      left -= 1;
      if (error === null) found.push(...ips);
      else if (!isAbsence(error)) failure ??= error;
      if (left === 0) finish();
      else if (found.length > 0) timer = clock.setTimeout(finish, OTHER_FAMILY_MS);
    });
  }
}

function askSystem(host: string, done: LookupDone): void {
  systemLookup(host, { all: true }, (error, records) => {
    if (error === null)
      done(
        undefined,
        records.map(({ address }) => address),
      );
    else done(isAbsence(error) ? undefined : error, []);
  });
}

/** No such name, or a name without addresses: such as a headless service whose first pod is about to start. */
function isAbsence(error: NodeJS.ErrnoException): boolean {
  return error.code === "ENOTFOUND" || error.code === "ENODATA";
}
