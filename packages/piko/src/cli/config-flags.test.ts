import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { AGENT } from "../config/agent.js";
import { BENCH } from "../config/bench.js";
import { listFlags } from "../config/flags.js";
import { FORWARD } from "../config/forward.js";
import { SERVER } from "../config/server.js";
import { STATUS } from "../config/status.js";
import { listenerFlags } from "./agent-command.js";
import { addFlagOptions, givenSettings, listSwitches, rewriteSwitches } from "./config-flags.js";
import { createProgram } from "./program.js";

const tlsFlags = (port: string): string[] =>
  [
    ...["cert", "key", "client-cas", "min-version", "mode", "reload-interval", "handshake-timeout"],
    ...["max-handshakes", "max-handshakes-per-client"],
    ...["cert", "key", "root-cas", "server-name", "insecure-skip-verify"].map((name) => `client.${name}`),
  ].map((name) => `--${port}.tls.${name}`);

const TRACING_FLAGS = [
  ...["url", "headers", "sample", "timeout", "max-queued-spans"],
  ...["cert", "key", "root-cas", "insecure-skip-verify"].map((name) => `tls.${name}`),
].map((name) => `--tracing.${name}`);

describe("flags", () => {
  const names = (flags: readonly { name: string }[]): readonly string[] => flags.map(({ name }) => name);

  it("of the server are those that scripts for Go Piko use", () => {
    expect(names(listFlags(SERVER))).toEqual([
      "--cluster.name",
      "--cluster.node-id",
      "--cluster.node-id-prefix",
      "--cluster.join",
      "--cluster.join-timeout",
      "--cluster.abort-if-join-fails",
      "--cluster.gossip.bind-addr",
      "--cluster.gossip.advertise-addr",
      "--cluster.gossip.interval",
      "--cluster.gossip.max-packet-size",
      "--cluster.gossip.max-state-bytes",
      "--cluster.gossip.encryption",
      "--cluster.gossip.secret-keys",
      "--cluster.gossip.secret-key-files",
      "--cluster.gossip.max-clock-skew",
      "--cluster.gossip.allowed-cidrs",
      "--proxy.bind-addr",
      "--proxy.advertise-addr",
      "--proxy.public-url",
      "--proxy.timeout",
      "--proxy.reconnect-wait",
      "--proxy.trusted-proxies",
      "--proxy.proxy-protocol",
      "--proxy.access-log.level",
      "--proxy.access-log.request-headers.block-list",
      "--proxy.access-log.request-headers.allow-list",
      "--proxy.access-log.response-headers.block-list",
      "--proxy.access-log.response-headers.allow-list",
      "--proxy.access-log.disable",
      "--proxy.access-log.format",
      "--proxy.access-log.path",
      "--proxy.access-log.sample",
      "--proxy.endpoint-metrics",
      "--proxy.http.read-timeout",
      "--proxy.http.read-header-timeout",
      "--proxy.http.write-timeout",
      "--proxy.http.idle-timeout",
      "--proxy.http.tcp-keep-alive",
      "--proxy.http.max-header-bytes",
      "--proxy.http2.enabled",
      "--proxy.http2.max-concurrent-streams",
      "--proxy.http2.max-header-table-bytes",
      "--proxy.http2.stream-window-bytes",
      "--proxy.http2.connection-window-bytes",
      "--proxy.http2.max-unsent-bytes",
      "--proxy.http2.max-resets",
      "--proxy.http2.max-control-frames",
      "--proxy.limits.max-connections",
      "--proxy.limits.max-connections-per-client",
      "--proxy.limits.max-requests-per-endpoint",
      "--proxy.limits.max-waiting-requests",
      "--proxy.limits.max-buffered-bytes",
      "--proxy.limits.max-buffered-bytes-per-connection",
      "--proxy.limits.max-target-bytes",
      "--proxy.limits.max-header-fields",
      "--proxy.limits.max-response-header-bytes",
      "--proxy.limits.max-body-bytes",
      "--proxy.auth.hmac-secret-key",
      "--proxy.auth.hmac-secret-key-file",
      "--proxy.auth.hmac-secret-key-files",
      "--proxy.auth.rsa-public-key",
      "--proxy.auth.rsa-public-key-file",
      "--proxy.auth.ecdsa-public-key",
      "--proxy.auth.ecdsa-public-key-file",
      "--proxy.auth.audience",
      "--proxy.auth.issuer",
      "--proxy.auth.leeway",
      "--proxy.auth.disable-disconnect-on-expiry",
      "--proxy.auth.revoked-file",
      "--proxy.auth.jwks.endpoint",
      "--proxy.auth.jwks.cache-ttl",
      "--proxy.auth.jwks.timeout",
      "--proxy.auth.max-pending",
      ...tlsFlags("proxy"),
      "--upstream.bind-addr",
      "--upstream.advertise-addr",
      "--upstream.rebalance.threshold",
      "--upstream.rebalance.shed-rate",
      "--upstream.rebalance.min-conns",
      "--upstream.limits.max-tunnels",
      "--upstream.limits.max-tunnels-per-endpoint",
      "--upstream.limits.max-tunnels-per-client",
      "--upstream.limits.max-streams-per-tunnel",
      "--upstream.limits.max-pending-connections",
      "--upstream.limits.read-header-timeout",
      "--upstream.limits.ping-interval",
      "--upstream.limits.ping-timeout",
      "--upstream.auth.hmac-secret-key",
      "--upstream.auth.hmac-secret-key-file",
      "--upstream.auth.hmac-secret-key-files",
      "--upstream.auth.rsa-public-key",
      "--upstream.auth.rsa-public-key-file",
      "--upstream.auth.ecdsa-public-key",
      "--upstream.auth.ecdsa-public-key-file",
      "--upstream.auth.audience",
      "--upstream.auth.issuer",
      "--upstream.auth.leeway",
      "--upstream.auth.disable-disconnect-on-expiry",
      "--upstream.auth.revoked-file",
      "--upstream.auth.jwks.endpoint",
      "--upstream.auth.jwks.cache-ttl",
      "--upstream.auth.jwks.timeout",
      "--upstream.auth.max-pending",
      "--upstream.auth.expiry-grace",
      ...tlsFlags("upstream"),
      "--admin.bind-addr",
      "--admin.advertise-addr",
      "--admin.auth.hmac-secret-key",
      "--admin.auth.hmac-secret-key-file",
      "--admin.auth.hmac-secret-key-files",
      "--admin.auth.rsa-public-key",
      "--admin.auth.rsa-public-key-file",
      "--admin.auth.ecdsa-public-key",
      "--admin.auth.ecdsa-public-key-file",
      "--admin.auth.audience",
      "--admin.auth.issuer",
      "--admin.auth.leeway",
      "--admin.auth.disable-disconnect-on-expiry",
      "--admin.auth.revoked-file",
      "--admin.auth.jwks.endpoint",
      "--admin.auth.jwks.cache-ttl",
      "--admin.auth.jwks.timeout",
      "--admin.auth.max-pending",
      "--admin.auth.exempt-probes",
      ...tlsFlags("admin"),
      "--log.level",
      "--log.subsystems",
      "--log.format",
      ...TRACING_FLAGS,
      "--tracing.trust-clients",
      "--drain-delay",
      "--drain-window",
      "--grace-period",
    ]);
  });

  it("of the status commands include those of Go Piko", () => {
    expect(names(listFlags(STATUS))).toEqual([
      "--server.url",
      "--server.token",
      "--server.token-file",
      "--server.tls.cert",
      "--server.tls.key",
      "--server.tls.root-cas",
      "--server.tls.insecure-skip-verify",
      "--forward",
      "--output",
      "--watch",
      "--interval",
    ]);
  });

  it("of the agent are those that scripts for Go Piko use", () => {
    expect(names(listFlags(AGENT))).toEqual([
      "--connect.url",
      "--connect.token",
      "--connect.token-file",
      "--connect.tenant-id",
      "--connect.timeout",
      "--connect.tunnels",
      "--connect.tls.cert",
      "--connect.tls.key",
      "--connect.tls.root-cas",
      "--connect.tls.insecure-skip-verify",
      "--connect.proxy-url",
      "--server.enabled",
      "--server.bind-addr",
      "--log.level",
      "--log.subsystems",
      "--log.format",
      ...TRACING_FLAGS,
      "--grace-period",
    ]);
    expect(names(listenerFlags("http"))).toEqual([
      "--protocol",
      "--timeout",
      "--host-header",
      "--health-check.path",
      "--health-check.tcp",
      "--health-check.interval",
      "--health-check.timeout",
      "--health-check.unhealthy-threshold",
      "--health-check.healthy-threshold",
      "--access-log.level",
      "--access-log.request-headers.block-list",
      "--access-log.request-headers.allow-list",
      "--access-log.response-headers.block-list",
      "--access-log.response-headers.allow-list",
      "--access-log.disable",
      "--access-log.format",
      "--access-log.path",
      "--access-log.sample",
      "--http-client.keep-alive-timeout",
      "--http-client.idle-conn-timeout",
      "--http-client.max-idle-conns",
      "--http-client.max-response-header-bytes",
      "--http-client.disable-compression",
      "--http2.max-concurrent-streams",
      "--http2.ping-interval",
      "--tls.cert",
      "--tls.key",
      "--tls.root-cas",
      "--tls.insecure-skip-verify",
    ]);
    expect(names(listenerFlags("tcp"))).toEqual([
      "--timeout",
      "--health-check.tcp",
      "--health-check.interval",
      "--health-check.timeout",
      "--health-check.unhealthy-threshold",
      "--health-check.healthy-threshold",
      "--access-log.level",
      "--access-log.disable",
    ]);
  });

  it("of the forwarder are those that scripts for Go Piko use, and its limit", () => {
    expect(names(listFlags(FORWARD))).toEqual([
      "--connect.url",
      "--connect.token",
      "--connect.token-file",
      "--connect.timeout",
      "--connect.tls.cert",
      "--connect.tls.key",
      "--connect.tls.root-cas",
      "--connect.tls.insecure-skip-verify",
      "--limits.max-connections",
      "--log.level",
      "--log.subsystems",
      "--log.format",
    ]);
  });

  it("of the benchmark are those of Go Piko; only its file names the server's settings differently", () => {
    expect(names(listFlags(BENCH))).toEqual([
      "--requests",
      "--clients",
      "--endpoints",
      "--upstreams",
      "--size",
      "--connect.proxy-url",
      "--connect.upstream-url",
      "--connect.timeout",
      "--log.level",
      "--log.subsystems",
      "--log.format",
    ]);
    expect(listFlags(BENCH).map(({ path }) => path)).toContain("server.proxy_url");
  });
});

describe("givenSettings", () => {
  function parse(...args: string[]): Readonly<Record<string, unknown>> {
    const command = new Command();
    const flags = listFlags(SERVER);
    addFlagOptions(command, flags);
    command.parse(rewriteSwitches(args, listSwitches(command)) as string[], { from: "user" });
    return Object.fromEntries(
      givenSettings(command, flags).map(({ keys, value }) => [keys.join("."), value]),
    );
  }

  it.each([
    [[], {}],
    [["--proxy.timeout", "5s"], { "proxy.timeoutMs": "5s" }],
    [["--proxy.timeout=5s", "--proxy.timeout=6s"], { "proxy.timeoutMs": "6s" }],
    [["--proxy.access-log.disable"], { "proxy.accessLog.disable": true }],
    [["--proxy.access-log.disable=true"], { "proxy.accessLog.disable": true }],
    [["--proxy.access-log.disable=F"], { "proxy.accessLog.disable": false }],
    [
      ["--log.subsystems", "a,b", "--log.subsystems", '"c,d",e'],
      { "log.subsystems": ["a", "b", "c,d", "e"] },
    ],
    [["--log.subsystems", ""], { "log.subsystems": [] }],
    [["--proxy.http.max-header-bytes", "64KiB"], { "proxy.http.maxHeaderBytes": "64KiB" }],
    [["--cluster.node-id", "-x"], { "cluster.nodeId": "-x" }],
  ])("reads %j", (args, expected) => {
    expect(parse(...args)).toEqual(expected);
  });
});

describe("rewriteSwitches", () => {
  const switches = listSwitches(createProgram());

  it("handles the switches of all commands", () => {
    expect([...switches]).toContain("--http-client.disable-compression");
    expect([...switches]).not.toContain("--proxy.timeout");
  });

  it("leaves other options, other values, and everything after `--` unchanged", () => {
    const args = ["--proxy.timeout=true", "--server.enabled=maybe", "--", "--server.enabled=false"];
    expect(rewriteSwitches(args, switches)).toEqual(args);
  });
});
