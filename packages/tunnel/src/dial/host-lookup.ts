// Resolves host names: from /etc/hosts, then by the name servers, with the search list that Kubernetes relies on. Doesn't use
// the system's getaddrinfo: that blocks one of four threads until the name server answers, or for twenty seconds and more. So
// four unanswered names would block all others, and even the exit of the process.

import { lookup as systemLookup, Resolver } from "node:dns";
import { readFile } from "node:fs";
import type { Clock, Timer } from "../clock.js";
import { systemClock } from "../system-clock.js";
import {
  findInHosts,
  isBelowLocalhost,
  isLocalhost,
  listNames,
  parseSearchRules,
} from "./resolver-config.js";

/** Called once; no addresses means that the name doesn't exist, or has none. */
export type LookupDone = (error: Error | undefined, ips: readonly string[]) => void;

/** Queries one family of a name's addresses. */
type Query = "resolve4" | "resolve6";

export interface HostLookupOptions {
  /** Paths of the two files; replaced in tests. */
  readonly hostsPath?: string;
  readonly resolvConfPath?: string;
  /** `address:port` of name servers to use instead of those in resolv.conf. */
  readonly servers?: readonly string[];
  readonly clock?: Clock;
}

/** A query is repeated after this time, then after twice as long, and so on. */
const TRY_MS = 1_000;
const TRIES = 4;
/** How long the addresses of one family wait for the other family's. */
const OTHER_FAMILY_MS = 500;
/** Maximum names to look up at a time. */
const MAX_LOOKUPS = 256;

/** Addresses of `localhost` (RFC 6761 section 6.3), whatever the hosts file or a name server says. */
const LOOPBACK: readonly string[] = ["127.0.0.1", "::1"];

/** Looks up names. A name that is being looked up isn't queried again: all callers get its result. */
export class HostLookup {
  readonly #options: HostLookupOptions;
  readonly #clock: Clock;
  readonly #questions = new Map<string, Question>();
  #closed = false;

  constructor(options: HostLookupOptions = {}) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Looks up a name; never calls back synchronously. Returns a function that cancels: `done` isn't called then, and if no other
   * caller waits, the queries stop.
   */
  lookup(host: string, done: LookupDone): () => void {
    if (isLocalhost(host)) return later(() => done(undefined, LOOPBACK));
    let question = this.#questions.get(host);
    if (question === undefined) {
      if (this.#closed || this.#questions.size >= MAX_LOOKUPS) {
        const reason = this.#closed ? "closed" : `${MAX_LOOKUPS} lookups are running`;
        return later(() => done(new Error(`lookup of ${host}: ${reason}`), []));
      }
      question = this.#ask(host);
    }
    const { waiting } = question;
    // The same function may be passed twice.
    const each: LookupDone = (error, ips) => done(error, ips);
    waiting.add(each);
    return () => {
      if (waiting.delete(each) && waiting.size === 0) this.#drop(host, waiting);
    };
  }

  /** Stops all lookups; no callback is called any more. */
  close(): void {
    this.#closed = true;
    for (const { cancel } of this.#questions.values()) cancel();
    this.#questions.clear();
  }

  #ask(host: string): Question {
    const waiting = new Set<LookupDone>();
    const finish: LookupDone = (error, ips) => {
      if (this.#questions.get(host)?.waiting !== waiting) return;
      this.#questions.delete(host);
      for (const each of waiting) each(error, ips);
    };
    // Other systems configure names elsewhere.
    const cancel =
      process.platform === "linux"
        ? lookUp(host, this.#options, this.#clock, finish)
        : askSystem(host, finish);
    const question = { waiting, cancel };
    this.#questions.set(host, question);
    return question;
  }

  #drop(host: string, waiting: ReadonlySet<LookupDone>): void {
    const question = this.#questions.get(host);
    if (question?.waiting !== waiting) return;
    this.#questions.delete(host);
    question.cancel();
  }
}

/** A name that is being looked up. */
interface Question {
  readonly waiting: Set<LookupDone>;
  readonly cancel: () => void;
}

function later(call: () => void): () => void {
  // oxlint-disable-next-line no-restricted-globals -- this turn's end: never within the caller's call
  const immediate = setImmediate(call);
  return () => clearImmediate(immediate);
}

/** Consults the files, then the name servers. Returns a function that ends it, which may call `done`. */
function lookUp(host: string, options: HostLookupOptions, clock: Clock, done: LookupDone): () => void {
  const { hostsPath = "/etc/hosts", resolvConfPath = "/etc/resolv.conf", servers } = options;
  let resolver: Resolver | undefined;
  let given = false;
  // Read for each lookup, because both files change while a process runs. A missing file counts as empty.
  readFile(hostsPath, "latin1", (noHosts, hosts) => {
    if (given) return;
    const inHosts = noHosts === null ? findInHosts(hosts, host) : [];
    const found = inHosts.length === 0 && isBelowLocalhost(host) ? LOOPBACK : inHosts;
    if (found.length > 0) {
      done(undefined, found);
      return;
    }
    readFile(resolvConfPath, "latin1", (noConf, conf) => {
      if (given) return;
      // A new one for each lookup, because it reads the name servers of resolv.conf when it is created.
      resolver = new Resolver({ timeout: TRY_MS, tries: TRIES });
      if (servers !== undefined) resolver.setServers(servers);
      const names = listNames(host, parseSearchRules(noConf === null ? conf : ""));
      askInTurn(resolver, names, clock, () => given, done);
    });
  });
  return () => {
    given = true;
    resolver?.cancel();
  };
}

/**
 * Returns the addresses of the first name that has any. If none has and some could not be queried, returns the first error,
 * ignoring the last name's: in a cluster without access to outside name servers there is no answer for `piko` itself, although
 * all completed names don't exist.
 */
function askInTurn(
  resolver: Resolver,
  names: readonly string[],
  clock: Clock,
  givenUp: () => boolean,
  done: LookupDone,
): void {
  let failure: Error | undefined;
  const next = (at: number): void => {
    const name = names[at];
    if (name === undefined) {
      done(failure, []);
      return;
    }
    askBoth(resolver, name, clock, (error, ips) => {
      if (givenUp()) return;
      if (at === 0 || at < names.length - 1) failure ??= error;
      if (ips.length > 0) done(undefined, ips);
      else next(at + 1);
    });
  };
  next(0);
}

/** Queries both families at once. Some name servers never answer for IPv6, which must not delay IPv4, nor the reverse. */
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

/** The system's lookup can't be cancelled. */
function askSystem(host: string, done: LookupDone): () => void {
  systemLookup(host, { all: true }, (error, records) => {
    if (error === null)
      done(
        undefined,
        records.map(({ address }) => address),
      );
    else done(isAbsence(error) ? undefined : error, []);
  });
  return () => {};
}

/** The name doesn't exist or has no addresses, such as a headless service whose first pod is about to start. */
function isAbsence(error: NodeJS.ErrnoException): boolean {
  return error.code === "ENOTFOUND" || error.code === "ENODATA";
}
