// The address that a node advertises if none is configured: the one that it listens on, or, if it listens on all addresses, the
// host's first private one.

import { readFileSync } from "node:fs";
import { BlockList } from "node:net";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { type HostPort, formatHostPort } from "../base/address.js";

// Ranges that RFC 6890 marks as not global and forwardable.
const PRIVATE: BlockList = new BlockList();
for (const [network, prefix] of [
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
] as const) {
  PRIVATE.addSubnet(network, prefix, "ipv4");
}
PRIVATE.addSubnet("fc00::", 7, "ipv6");

/** What {@link inferAdvertiseAddress} needs to know about the host; replaced in tests. */
export interface HostNetwork {
  readonly interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>;
  /** Name of the default route's interface, if known. */
  readonly defaultInterface: string | undefined;
}

/**
 * The address to advertise for a listener. `listening` is the bound address, with the actual port.
 *
 * @throws Error that names the flag, if the listener is on all interfaces and the host has no private address.
 */
export function inferAdvertiseAddress(
  listening: HostPort,
  flag: string,
  network: HostNetwork = readHostNetwork(),
): HostPort {
  if (listening.host !== "" && listening.host !== "0.0.0.0" && listening.host !== "::") return listening;
  const host = findPrivateAddress(network);
  if (host === undefined) {
    throw new Error(
      `can't tell which address to advertise for ${formatHostPort(listening)}: this host has no private address; set ${flag}`,
    );
  }
  return { host, port: listening.port };
}

/**
 * The first private address: that of the default route's interface first, those of loopback interfaces last (a host whose address
 * is routed to it has its only one there); IPv4 before IPv6, large networks first.
 */
function findPrivateAddress(network: HostNetwork): string | undefined {
  const candidates = Object.entries(network.interfaces).flatMap(([name, addresses = []]) =>
    addresses
      .filter((each) => PRIVATE.check(each.address, each.family === "IPv6" ? "ipv6" : "ipv4"))
      .map(({ address, family, cidr, internal }) => ({
        address,
        rank: [
          name === network.defaultInterface ? 0 : internal ? 2 : 1,
          family === "IPv4" ? 0 : 1,
          Number(cidr?.split("/")[1] ?? 128),
        ],
      })),
  );
  // Array.sort is stable, so equal candidates stay in the system's order.
  candidates.sort((a, b) => a.rank.reduce((sign, value, i) => sign || value - (b.rank[i] ?? 0), 0));
  return candidates[0]?.address;
}

function readHostNetwork(): HostNetwork {
  return { interfaces: networkInterfaces(), defaultInterface: readDefaultInterface() };
}

/** The interface of the default route on Linux; undefined on systems without that file. */
function readDefaultInterface(): string | undefined {
  try {
    const routes = readFileSync("/proc/net/route", "latin1").split("\n").slice(1);
    return routes.map((line) => line.split("\t")).find((fields) => fields[1] === "00000000")?.[0];
  } catch {
    return undefined;
  }
}
