// Values as they are written, and all problems of a configuration: reported together, with their places.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AGENT } from "./agent.js";
import { type GivenSetting, loadConfig } from "./load-config.js";
import { SERVER, type ServerConfig } from "./server.js";
import { folder, given, load, makeFolder, problems, removeFolder } from "../../test/config-rig.js";

beforeAll(makeFolder);
afterAll(removeFolder);

describe("values", () => {
  it("are frozen at every depth", () => {
    const config = load(SERVER, undefined);
    expect(Object.isFrozen(config.proxy.accessLog.requestHeaders.blockList)).toBe(true);
  });

  it.each([
    ["proxy: {http: {max_header_bytes: 64KiB}}", (c: ServerConfig) => c.proxy.http.maxHeaderBytes, 65_536],
    ["proxy: {http: {write_timeout: 0s}}", (c: ServerConfig) => c.proxy.http.writeTimeoutMs, 0],
    ["proxy: {access_log: {disable: yes}}", (c: ServerConfig) => c.proxy.accessLog.disable, true],
    ["cluster: {node_id: 0123}", (c: ServerConfig) => c.cluster.nodeId, "0123"],
    ["log: {subsystems: [a, 3]}", (c: ServerConfig) => c.log.subsystems.join(), "a,3"],
    ["upstream: {bind_addr: '[::1]:80'}", (c: ServerConfig) => c.upstream.bindAddr.host, "::1"],
    ["admin: {advertise_addr: 'h:80'}", (c: ServerConfig) => c.admin.advertiseAddr?.host, "h"],
    ["proxy: {limits: {max_connections: 0}}", (c: ServerConfig) => c.proxy.limits.maxConnections, Infinity],
    ["upstream: {limits: {ping_timeout: 29s}}", (c: ServerConfig) => c.upstream.limits.pingTimeoutMs, 29_000],
    ["proxy: {limits: {max_body_bytes: 1GiB}}", (c: ServerConfig) => c.proxy.limits.maxBodyBytes, 2 ** 30],
    [
      "proxy: {trusted_proxies: [10.0.0.0/8]}",
      (c: ServerConfig) => c.proxy.trustedProxies.includes("10.1.2.3"),
      true,
    ],
    ["proxy:\nlog: ~", (c: ServerConfig) => c.proxy.timeoutMs, 30_000],
    ["log: &l {level: warn}\nproxy: {access_log: {level: debug}}", (c: ServerConfig) => c.log.level, "warn"],
  ])("reads %s", (yaml, pick, expected) => {
    expect(pick(load(SERVER, yaml))).toBe(expected);
  });

  it("reads anchors, aliases and merges", () => {
    const yaml = `
listeners:
  - &first {endpoint_id: a, addr: 1, timeout: 3s}
  - <<: *first
    endpoint_id: b
  - endpoint_id: c
    <<: [*first, {protocol: tcp}]
`;
    const config = load(AGENT, yaml);
    expect(config.listeners.map((l) => [l.endpointId, l.addr.port, l.timeoutMs, l.protocol])).toEqual([
      ["a", 1, 3_000, "http"],
      ["b", 1, 3_000, "http"],
      ["c", 1, 3_000, "tcp"],
    ]);
  });

  it.each([
    ["0", 100],
    ["-1", Number.POSITIVE_INFINITY],
    ["7", 7],
  ])("reads max_idle_conns %s from file and flag alike", (text, expected) => {
    const listener = `{endpoint_id: a, addr: 1, http_client: {max_idle_conns: ${text}}}`;
    expect(load(AGENT, `listeners: [${listener}]`).listeners[0]?.httpClient.maxIdleConns).toBe(expected);
  });

  it("removes a URL's trailing slash, and uses http for ws", () => {
    expect(load(AGENT, "connect: {url: 'wss://h:1/base/'}").connect.url).toBe("https://h:1/base");
  });

  it("expands the environment only if enabled", () => {
    const yaml = "cluster: {node_id_prefix: '${POD}-'}";
    expect(load(SERVER, yaml, { env: { POD: "p" } }).cluster.nodeIdPrefix).toBe("${POD}-");
    expect(load(SERVER, yaml, { env: { POD: "p" }, expandEnv: true }).cluster.nodeIdPrefix).toBe("p-");
  });

  it.each([["---\nlog: {level: warn}\n---\n# nothing\n"], ["# one\n---\nlog: {level: warn}\n...\n"]])(
    "reads the one document of %j",
    (yaml) => {
      expect(load(SERVER, yaml).log.level).toBe("warn");
    },
  );
});

describe("problems", () => {
  it("are listed together, in the order of the file, with line, path and flag", () => {
    const yaml = `proxy:
  bind_addr: 8000
  timout: 5s
  http:
    read_timeout: 10
    write_timeout: -1s
    idle_timeout: 9999h
    max_header_bytes: 12
  access_log:
    level: trace
    request_headers:
      allow_list: [a]
      block_list: [b]
upstream: 7
admin:
  advertise_addr: ":80"
grace_period: 0s
`;
    const flags = given(SERVER, { "--drain-delay": "x", "--proxy.bind-addr": "y" });
    expect(problems(() => load(SERVER, yaml, { given: flags }))).toEqual([
      'config: piko.yaml:3:3: proxy.timout: unknown key (did you mean "timeout"?)',
      "config: piko.yaml:5:19: proxy.http.read_timeout (--proxy.http.read-timeout): must be a duration with a unit, such as 10s or 500ms",
      "config: piko.yaml:6:20: proxy.http.write_timeout (--proxy.http.write-timeout): -1s is too short: must be at least 0s",
      "config: piko.yaml:7:19: proxy.http.idle_timeout (--proxy.http.idle-timeout): 9999h is too long: must be at most 596h31m23.647s",
      "config: piko.yaml:8:23: proxy.http.max_header_bytes (--proxy.http.max-header-bytes): 12 is too small: must be at least 1024",
      'config: piko.yaml:10:12: proxy.access_log.level (--proxy.access-log.level): must be one of debug, info, warn, error (got "trace")',
      "config: piko.yaml:12:19: proxy.access_log.request_headers.allow_list (--proxy.access-log.request-headers.allow-list): can't be set together with block_list",
      "config: piko.yaml:14:11: upstream: must be a section with keys",
      'config: piko.yaml:16:19: admin.advertise_addr (--admin.advertise-addr): invalid address ":80": needs a host and a port that others can connect to',
      "config: piko.yaml:17:15: grace_period (--grace-period): 0s is too short: must be at least 1ns",
      'config: proxy.bind_addr (--proxy.bind-addr): invalid address "y": missing port (such as :8000 or 127.0.0.1:8000)',
      'config: drain_delay (--drain-delay): invalid duration "x"',
    ]);
  });

  it("of listeners have the index in the list", () => {
    const yaml = `listeners:
  - addr: 3000
  - endpoint_id: a/b
    addr: nowhere
    protocol: udp
  - endpoint_id: c
    addr: http://h
    protocol: tcp
    tls: {cert: /dev/null}
    http_client: {max_idle_conns: -2}
  - just text
  - endpoint_id: d
    addr: https://h
    protocol: h2c
  - endpoint_id: e
    addr: 1
    protocol: grpc
    health_check: {path: /health}
`;
    expect(problems(() => load(AGENT, yaml))).toEqual([
      "config: piko.yaml:2:5: listeners[0].endpoint_id: is required",
      "config: piko.yaml:3:18: listeners[1].endpoint_id: must be an endpoint id without slashes, white space or characters that can't be seen",
      'config: piko.yaml:4:11: listeners[1].addr: invalid address "nowhere": missing port (such as :8000 or 127.0.0.1:8000)',
      'config: piko.yaml:5:15: listeners[1].protocol: must be one of http, h2c, h2, grpc, tcp (got "udp")',
      'config: piko.yaml:7:11: listeners[2].addr: invalid address "http://h": must be a port or host:port for tcp',
      "config: piko.yaml:9:5: listeners[2].tls.key: is required when cert is set",
      "config: piko.yaml:10:35: listeners[2].http_client.max_idle_conns: must be a whole number, at least -1",
      "config: piko.yaml:11:5: listeners[3]: must be a section with keys",
      "config: piko.yaml:11:5: listeners[3].endpoint_id: is required",
      "config: piko.yaml:11:5: listeners[3].addr: is required",
      'config: piko.yaml:13:11: listeners[4].addr: invalid address "https://h": protocol h2c doesn\'t use TLS: set h2 or grpc',
      "config: piko.yaml:18:26: listeners[5].health_check.path: is for http: set tcp instead",
    ]);
  });

  it("include a ping timeout that is longer than the interval", () => {
    expect(problems(() => load(SERVER, "upstream: {limits: {ping_interval: 10s}}"))).toEqual([
      "config: piko.yaml:1:12: upstream.limits.ping_timeout: must be less than ping_interval",
    ]);
  });

  it("include an invalid address range", () => {
    const yaml = "proxy:\n  trusted_proxies: [10.0.0.0/8, lb, 10.0.0.0/33]";
    expect(problems(() => load(SERVER, yaml))).toEqual([
      'config: piko.yaml:2:20: proxy.trusted_proxies (--proxy.trusted-proxies): invalid address range "lb": must be an address or a network, such as 10.0.0.1 or 10.0.0.0/8',
    ]);
  });

  it("include a URL for a TCP listener", () => {
    const yaml = "listeners: [{endpoint_id: a, addr: 'http://h', protocol: tcp}]";
    expect(problems(() => load(AGENT, yaml))).toEqual([
      'config: piko.yaml:1:36: listeners[0].addr: invalid address "http://h": must be a port or host:port for tcp',
    ]);
  });

  it.each([
    ["", ["config: piko.yaml:1:1: the file is empty"]],
    ["# nothing\n", ["config: piko.yaml:1:1: the file is empty"]],
    ["- a\n", ["config: piko.yaml:1:1: must be a section with keys"]],
    [
      "log: {level: [info]}",
      ["config: piko.yaml:1:14: log.level: must be a value (debug|info|warn|error), not a list"],
    ],
    [
      "log: {subsystems: {a: b}}",
      ["config: piko.yaml:1:19: log.subsystems: must be a value (strings), not a section"],
    ],
    [
      "log: {subsystems: a}",
      ["config: piko.yaml:1:19: log.subsystems (--log.subsystems): must be a list of strings"],
    ],
    ["log:\n  level: info\n  level: warn\n", ["config: piko.yaml:3:3: log.level: map keys must be unique"]],
    [
      "grace_period: 0",
      [
        "config: piko.yaml:1:15: grace_period (--grace-period): must be a duration with a unit, such as 10s or 500ms",
      ],
    ],
    ["Proxy: {}", ['config: piko.yaml:1:1: Proxy: unknown key (did you mean "proxy"?)']],
    ["bogus: {}", ["config: piko.yaml:1:1: bogus: unknown key"]],
    [
      "proxy: {access_log: {disable: maybe}}",
      [
        "config: piko.yaml:1:31: proxy.access_log.disable (--proxy.access-log.disable): must be true or false",
      ],
    ],
  ])("of %j are reported", (yaml, expected) => {
    expect(problems(() => load(SERVER, yaml))).toEqual(expected);
  });

  it("of broken YAML include the line", () => {
    const [first] = problems(() => load(SERVER, "log:\n  level: [info\n"));
    expect(first).toMatch(/^config: piko\.yaml:3:1: log\.level\[0\]: flow sequence/);
  });

  it("of a file that can't be read include its name", () => {
    expect(
      problems(() => loadConfig(SERVER, { path: `${folder}/no.yaml`, expandEnv: false, env: {}, given: [] })),
    ).toEqual([expect.stringMatching(/^config: --config\.path: read file: no\.yaml: ENOENT/)]);
  });

  it("include an empty path of the file", () => {
    expect(problems(() => load(SERVER, undefined, { path: "" }))).toEqual([
      "config: --config.path: is empty: leave the flag out to run without a file",
    ]);
  });

  it("include files of settings that can't be read", () => {
    const yaml = "connect:\n  tls:\n    cert: /no/c.pem\n    key: ''\n    root_cas: /\n";
    expect(problems(() => load(AGENT, yaml))).toEqual([
      "config: piko.yaml:3:11: connect.tls.cert (--connect.tls.cert): can't read /no/c.pem (ENOENT)",
      "config: piko.yaml:5:15: connect.tls.root_cas (--connect.tls.root-cas): can't read / (EISDIR)",
    ]);
    const given: GivenSetting[] = [
      { keys: ["connect", "tls", "rootCas"], value: "/no.pem", flag: "--connect.tls.root-cas" },
    ];
    expect(problems(() => load(AGENT, undefined, { given }))).toEqual([
      "config: connect.tls.root_cas (--connect.tls.root-cas): can't read /no.pem (ENOENT)",
    ]);
  });

  it("never show a secret", () => {
    const yaml =
      "connect:\n  token: {hunter2: hunter2}\n  proxy_url: 'ftp://me:hunter2@h'\n  url: 'http://me:hunter2@h'\n";
    const lines = problems(() => load(AGENT, yaml));
    expect(lines).toHaveLength(3);
    expect(lines.join("\n")).not.toContain("hunter2");
  });
});
