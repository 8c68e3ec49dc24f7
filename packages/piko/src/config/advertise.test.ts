import type { NetworkInterfaceInfo } from "node:os";
import { describe, expect, it } from "vitest";
import { type HostNetwork, inferAdvertiseAddress } from "./advertise.js";

function ip(cidr: string, internal = false): NetworkInterfaceInfo {
  const address = cidr.split("/")[0] ?? "";
  const common = { address, netmask: "", mac: "", internal, cidr };
  return address.includes(":") ? { ...common, family: "IPv6", scopeid: 0 } : { ...common, family: "IPv4" };
}

function network(interfaces: HostNetwork["interfaces"], defaultInterface?: string): HostNetwork {
  return { interfaces, defaultInterface };
}

const loopback = { lo: [ip("127.0.0.1/8", true), ip("::1/128", true)] };

describe("inferAdvertiseAddress", () => {
  it("keeps the address of a listener on one interface", () => {
    const listening = { host: "127.0.0.1", port: 80 };
    expect(inferAdvertiseAddress(listening, "--x", network({}))).toEqual(listening);
  });

  it.each(["", "0.0.0.0", "::"])("uses the private address of the host for %j", (host) => {
    const found = inferAdvertiseAddress(
      { host, port: 80 },
      "--x",
      network({ ...loopback, eth0: [ip("10.1.2.3/24")] }),
    );
    expect(found).toEqual({ host: "10.1.2.3", port: 80 });
  });

  it("prefers the default route's interface, then IPv4, then the larger network", () => {
    const eth0 = [ip("fd00::2/64"), ip("192.168.1.2/24"), ip("10.0.0.2/8")];
    const eth1 = [ip("172.16.0.2/12")];
    const at = (defaultInterface?: string): string =>
      inferAdvertiseAddress({ host: "", port: 1 }, "--x", network({ eth0, eth1 }, defaultInterface)).host;
    expect(at()).toBe("10.0.0.2");
    expect(at("eth1")).toBe("172.16.0.2");
  });

  it("uses a private address of the loopback interface if there is no other", () => {
    const lo = [ip("127.0.0.1/8", true), ip("10.9.8.7/32", true)];
    const listening = { host: "", port: 1 };
    const at = (eth0: string): string =>
      inferAdvertiseAddress(listening, "--x", network({ lo, eth0: [ip(eth0)] }, "eth0")).host;
    expect(at("8.8.8.8/24")).toBe("10.9.8.7");
    expect(at("192.168.1.2/24")).toBe("192.168.1.2");
    expect(inferAdvertiseAddress(listening, "--x", network({ lo, eth0: [ip("fd00::2/64")] })).host).toBe(
      "fd00::2",
    );
  });

  it("uses a private IPv6 address if there is no other", () => {
    const found = inferAdvertiseAddress(
      { host: "::", port: 1 },
      "--x",
      network({ eth0: [ip("fd00::2/64")] }),
    );
    expect(found).toEqual({ host: "fd00::2", port: 1 });
  });

  it.each([["8.8.8.8/24"], ["127.0.0.1/8"], ["fe80::1/64"], ["172.32.0.1/12"]])(
    "does not advertise %s",
    (cidr) => {
      expect(() =>
        inferAdvertiseAddress({ host: "", port: 80 }, "--proxy.advertise-addr", network({ e: [ip(cidr)] })),
      ).toThrow(
        "can't tell which address to advertise for :80: this host has no private address; set --proxy.advertise-addr",
      );
    },
  );
});
