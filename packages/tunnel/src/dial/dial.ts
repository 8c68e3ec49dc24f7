// Opens a TCP connection to a host: resolves its addresses, and races them. Every connection to a peer by name or address is
// opened here: byte sockets, and the few plain sockets.

import { isIP, type Socket, type SocketConnectOpts } from "node:net";
import type { Clock } from "../clock.js";
import { systemClock } from "../system-clock.js";
import { HostLookup } from "./host-lookup.js";
import { interleave, race, type RaceDone } from "./race.js";

/** What to connect to. */
export interface DialTarget {
  /** A name, an IP address without brackets, or the path of a Unix domain socket, which begins with a slash. */
  readonly host: string;
  readonly port: number;
  /** Resolves names. Default: the process's own lookup. */
  readonly names?: HostLookup;
  readonly clock?: Clock;
}

/** One per process is enough: it keeps only lookups in progress. */
const processNames = new HostLookup();

/**
 * Connects to a host with `open`, which starts to connect to one of its addresses. `done` is called once, asynchronously: with
 * the socket, within its `connect` event, or with an error. There is no timeout. Returns a function that cancels, after which
 * `done` isn't called.
 */
export function dial(target: DialTarget, open: (address: string) => Socket, done: RaceDone): () => void {
  const { host, clock = systemClock, names = processNames } = target;
  if (isIP(host) !== 0 || host.startsWith("/")) return race([host], open, clock, done);
  let stopRace: (() => void) | undefined;
  const stopLookup = names.lookup(host, (error, addresses) => {
    if (addresses.length > 0) stopRace = race(interleave(addresses), open, clock, done);
    else done(error ?? noAddresses(host), undefined);
  });
  return () => {
    stopLookup();
    stopRace?.();
  };
}

/** Node's options for an address, for a connection whose directions end separately. */
export function connectOptionsOf(address: string, port: number): SocketConnectOpts & { allowHalfOpen: true } {
  const place = address.startsWith("/") ? { path: address } : { host: address, port };
  return { ...place, allowHalfOpen: true };
}

/** An error with the code that Node's own lookup uses. */
function noAddresses(host: string): Error {
  return Object.assign(new Error(`no addresses for ${host}`), { code: "ENOTFOUND" });
}
