// Resolves host names: by /etc/hosts, then by the name servers, with the search list that Kubernetes relies on. Not by
// the system's getaddrinfo: that occupies one of four threads until the name server answers or for twenty seconds and
// more, so that four unanswered names block all others, and even the end of the process.

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

/** What `localhost` is (RFC 6761 section 6.3), whatever a hosts file lacks or a name server says. */
const LOOPBACK: readonly string[] = ["127.0.0.1", "::1"];

/** Looks up names. One that is being looked up is not asked for again: all who wait get the answer. */
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
   * Looks a name up; never calls back at once. Returns what gives up: `done` isn't called then, and when nobody else wants
   * to know, nobody is asked any more.
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
    // The same function may wait twice.
    const each: LookupDone = (error, ips) => done(error, ips);
    waiting.add(each);
    return () => {
      if (waiting.delete(each) && waiting.size === 0) this.#drop(host, waiting);
    };
  }

  /** Nobody is called any more. */
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
    // Elsewhere names are kept in other places than these files.
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

/** Asks the files and then the name servers. Returns what ends it; `done` may be called by that. */
function lookUp(host: string, options: HostLookupOptions, clock: Clock, done: LookupDone): () => void {
  const { hostsPath = "/etc/hosts", resolvConfPath = "/etc/resolv.conf", servers } = options;
  let resolver: Resolver | undefined;
  let given = false;
  // Read for each lookup: both change while a process runs. A missing one is an empty one.
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
      // A new one for each lookup, because it reads the name servers of resolv.conf when it is made.
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
 * The addresses of the first name that has any; the first error if none has and some could not be asked for. The last one
 * doesn't count: in a cluster without a way out nobody answers for `piko` itself, when all completed names don't exist.
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

/** There is no way to take this question back. */
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

/** No such name, or a name without addresses: such as a headless service whose first pod is about to start. */
function isAbsence(error: NodeJS.ErrnoException): boolean {
  return error.code === "ENOTFOUND" || error.code === "ENODATA";
}
