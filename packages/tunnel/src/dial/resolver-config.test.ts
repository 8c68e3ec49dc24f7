import { describe, expect, it } from "vitest";
import { findInHosts, listNames, parseSearchRules } from "./resolver-config.js";

// The resolv.conf of a pod in Kubernetes.
const POD = `search prod.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5 edns0
`;

describe("resolv.conf", () => {
  it("has the domains and the number of dots", () => {
    expect(parseSearchRules(POD)).toEqual({
      domains: ["prod.svc.cluster.local", "svc.cluster.local", "cluster.local"],
      ndots: 5,
    });
  });

  it.each([
    ["", [], 1],
    ["# search a\n; search b\nnameserver ::1 # search c\n", [], 1],
    ["search a b.\nsearch c\n", ["c"], 1],
    ["search a\ndomain d.\n", ["d"], 1],
    ["search .\noptions ndots:0\n", [], 0],
    ["options timeout:1 ndots:99\r\n\tsearch\ta\r\n", ["a"], 15],
    ["options ndots:x ndots:\n", [], 1],
  ])("%j is parsed", (text, domains, ndots) => {
    expect(parseSearchRules(text)).toEqual({ domains, ndots });
  });
});

describe("names", () => {
  const rules = { domains: ["ns.svc", "svc"], ndots: 2 };

  it.each([
    ["piko", ["piko.ns.svc", "piko.svc", "piko"]],
    ["piko.ns", ["piko.ns.ns.svc", "piko.ns.svc", "piko.ns"]],
    ["piko.ns.svc", ["piko.ns.svc", "piko.ns.svc.ns.svc", "piko.ns.svc.svc"]],
    ["piko.", ["piko"]],
    ["piko.ns.svc.", ["piko.ns.svc"]],
  ])("%s is completed", (name, names) => {
    expect(listNames(name, rules)).toEqual(names);
  });

  it("are used unchanged if there are no domains", () => {
    expect(listNames("piko", { domains: [], ndots: 1 })).toEqual(["piko"]);
  });
});

describe("a hosts file", () => {
  const HOSTS = `127.0.0.1 localhost # piko
::1\tlocalhost ip6-localhost
10.0.0.1   Piko piko.example
bad piko
10.0.0.2 other piko
`;

  it.each([
    ["localhost", ["127.0.0.1", "::1"]],
    ["PIKO", ["10.0.0.1", "10.0.0.2"]],
    ["piko.example.", ["10.0.0.1"]],
    ["nobody", []],
  ])("has addresses for %s", (name, ips) => {
    expect(findInHosts(HOSTS, name)).toEqual(ips);
  });
});
