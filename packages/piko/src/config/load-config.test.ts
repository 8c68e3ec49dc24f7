// Where settings come from (defaults, files, the environment, flags), and which of them takes precedence.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AGENT, type AgentConfig } from "./agent.js";
import { FORWARD } from "./forward.js";
import type { GivenSetting } from "./load-config.js";
import { SERVER, type ServerConfig } from "./server.js";
import { STATUS } from "./status.js";
import { AddressRanges } from "../base/address-ranges.js";
import { folder, given, load, makeFolder, problems, removeFolder } from "../../test/config-rig.js";

beforeAll(makeFolder);
afterAll(removeFolder);

describe("defaults", () => {
  it("give a complete server configuration", () => {
    const headers = { blockList: [], allowList: [] };
    const noTls = {
      cert: "",
      key: "",
      clientCas: "",
      certificates: [],
      minVersion: "1.2",
      mode: "required",
      reloadIntervalMs: 10_000,
      handshakeTimeoutMs: 10_000,
      maxHandshakes: 1_024,
      maxHandshakesPerClient: 256,
      client: { cert: "", key: "", rootCas: "", serverName: "", insecureSkipVerify: false },
    } as const;
    const noAuth = {
      hmacSecretKey: "",
      hmacSecretKeyFile: "",
      hmacSecretKeyFiles: [],
      rsaPublicKey: "",
      rsaPublicKeyFile: "",
      ecdsaPublicKey: "",
      ecdsaPublicKeyFile: "",
      audience: "",
      issuer: "",
      leewayMs: 0,
      disableDisconnectOnExpiry: false,
      revokedFile: "",
      jwks: { endpoint: "", cacheTtlMs: 3_600_000, timeoutMs: 10_000 },
      maxPending: 4_096,
    };
    expect(load(SERVER, undefined)).toEqual<ServerConfig>({
      cluster: {
        name: "piko",
        nodeId: "",
        nodeIdPrefix: "",
        join: [],
        joinTimeoutMs: 60_000,
        abortIfJoinFails: true,
        gossip: {
          bindAddr: { host: "", port: 8_003 },
          advertiseAddr: undefined,
          intervalMs: 100,
          maxPacketSize: 1_400,
          maxStateBytes: 134_217_728,
          encryption: "off",
          secretKeys: [],
          secretKeyFiles: [],
          maxClockSkewMs: 60_000,
          allowedCidrs: new AddressRanges([]),
        },
      },
      proxy: {
        bindAddr: { host: "", port: 8_000 },
        advertiseAddr: undefined,
        timeoutMs: 30_000,
        publicUrl: "",
        reconnectWaitMs: 5_000,
        trustedProxies: new AddressRanges([]),
        proxyProtocol: "off",
        endpointMetrics: 0,
        accessLog: {
          level: "info",
          requestHeaders: headers,
          responseHeaders: headers,
          disable: false,
          format: "log",
          path: "",
          sample: 1,
        },
        http2: {
          enabled: true,
          maxConcurrentStreams: 128,
          maxHeaderTableBytes: 4_096,
          streamWindowBytes: 262_144,
          connectionWindowBytes: 1_048_576,
          maxUnsentBytes: 268_435_456,
          maxResets: 1_000,
          maxControlFrames: 10_000,
        },
        http: {
          readTimeoutMs: 10_000,
          readHeaderTimeoutMs: 10_000,
          writeTimeoutMs: 10_000,
          idleTimeoutMs: 300_000,
          tcpKeepAliveMs: 60_000,
          maxHeaderBytes: 1_048_576,
        },
        limits: {
          maxConnections: 65_536,
          maxConnectionsPerClient: 16_384,
          maxRequestsPerEndpoint: 32_768,
          maxWaitingRequests: 4_096,
          maxBufferedBytes: 268_435_456,
          maxBufferedBytesPerConnection: 65_536,
          maxTargetBytes: 16_384,
          maxHeaderFields: 200,
          maxResponseHeaderBytes: 262_144,
          maxBodyBytes: Number.POSITIVE_INFINITY,
        },
        auth: noAuth,
        tls: noTls,
      },
      upstream: {
        bindAddr: { host: "", port: 8_001 },
        advertiseAddr: undefined,
        rebalance: { threshold: 0, shedRate: 0.005, minConns: 50 },
        limits: {
          maxTunnels: 32_768,
          maxTunnelsPerEndpoint: 16_384,
          maxTunnelsPerClient: 8_192,
          maxStreamsPerTunnel: 16_384,
          maxPendingConnections: 16_384,
          readHeaderTimeoutMs: 10_000,
          pingIntervalMs: 30_000,
          pingTimeoutMs: 10_000,
        },
        auth: { ...noAuth, expiryGraceMs: 5_000 },
        tls: noTls,
        tenants: [],
      },
      admin: {
        bindAddr: { host: "", port: 8_002 },
        advertiseAddr: undefined,
        auth: { ...noAuth, exemptProbes: true },
        tls: noTls,
      },
      log: { level: "info", subsystems: [], format: "auto" },
      tracing: {
        url: "",
        headers: [],
        sample: 1,
        timeoutMs: 10_000,
        maxQueuedSpans: 2_048,
        tls: { cert: "", key: "", rootCas: "", insecureSkipVerify: false },
        trustClients: false,
      },
      drainDelayMs: 5_000,
      drainWindowMs: 10_000,
      gracePeriodMs: 60_000,
    });
  });

  it("give an agent's listener what the file omits, including its timeout", () => {
    const config = load(AGENT, "listeners: [{endpoint_id: e, addr: 3000}]");
    expect(config.listeners[0]).toMatchObject({
      endpointId: "e",
      addr: { scheme: "http", host: "localhost", port: 3_000 },
      protocol: "http",
      timeoutMs: 10_000,
      accessLog: { level: "info", disable: false, format: "log", path: "", sample: 1 },
      httpClient: { keepAliveTimeoutMs: 30_000, idleConnTimeoutMs: 90_000, maxIdleConns: 100 },
      tls: { cert: "", insecureSkipVerify: false },
    });
    expect(config.connect).toMatchObject({ url: "http://localhost:8001", timeoutMs: 30_000, proxyUrl: "" });
  });

  it("give a forwarder's connection its settings", () => {
    const config = load(FORWARD, "ports: [{addr: 6379, endpoint_id: redis}, {addr: ':1', endpoint_id: r}]");
    expect(config.connect.url).toBe("http://localhost:8000");
    expect(config.ports).toEqual([
      { addr: { host: "localhost", port: 6_379 }, endpointId: "redis" },
      { addr: { host: "", port: 1 }, endpointId: "r" },
    ]);
  });
});

describe("precedence", () => {
  const yaml = "proxy:\n  timeout: 5s\n  http:\n    read_timeout: 6s\nlog:\n  subsystems: [a]\n";

  it("prefers the file to the defaults", () => {
    const config = load(SERVER, yaml);
    expect(config.proxy.timeoutMs).toBe(5_000);
    expect(config.log.subsystems).toEqual(["a"]);
  });

  it("prefers flags to the file, and keeps the rest of a section from the file", () => {
    const flags = given(SERVER, { "--proxy.timeout": "7s", "--log.subsystems": 'b,"c,d"' });
    const config = load(SERVER, yaml, { given: flags });
    expect(config.proxy.timeoutMs).toBe(7_000);
    expect(config.proxy.http.readTimeoutMs).toBe(6_000);
    expect(config.log.subsystems).toEqual(["b", "c,d"]);
  });

  it("replaces a list from the file as a whole", () => {
    const flags: GivenSetting[] = [
      { keys: ["listeners", 0, "endpointId"], value: "mine", flag: "<endpoint>" },
      { keys: ["listeners", 0, "addr"], value: "4000", flag: "<addr>" },
    ];
    const file = "listeners: [{endpoint_id: a, addr: 1, timeout: 3s}, {endpoint_id: b, addr: 2}]";
    const config: AgentConfig = load(AGENT, file, { given: flags, replaces: ["listeners"] });
    expect(config.listeners.map(({ endpointId, timeoutMs }) => [endpointId, timeoutMs])).toEqual([
      ["mine", 10_000],
    ]);
  });
});

describe("a token and a token file", () => {
  const inFile = "connect: {token: of-file}\n";
  const tokenOf = (config: AgentConfig): string => `${config.connect.token}|${config.connect.tokenFile}`;
  let path = "";
  beforeAll(() => {
    path = join(folder, "token");
    writeFileSync(path, "of-token-file");
  });

  it("come from the file, the environment or a flag: the highest level takes precedence", () => {
    const env = { PIKO_CONNECT_TOKEN: "of-environment" };
    const flag = given(AGENT, { "--connect.token": "of-flag" });
    expect(tokenOf(load(AGENT, inFile))).toBe("of-file|");
    expect(tokenOf(load(AGENT, inFile, { env }))).toBe("of-environment|");
    expect(tokenOf(load(AGENT, inFile, { env, given: flag }))).toBe("of-flag|");
    expect(tokenOf(load(AGENT, inFile, { env: { PIKO_CONNECT_TOKEN: "" } }))).toBe("of-file|");
    const other = { env: { PIKO_SERVER_TOKEN: "of-environment" } };
    expect(load(STATUS, undefined, other).server.token).toBe("of-environment");
    expect(load(FORWARD, undefined, { env }).connect.token).toBe("of-environment");
  });

  it("replace each other, if one comes from a higher level", () => {
    const byEnvironment = { env: { PIKO_CONNECT_TOKEN_FILE: path } };
    const byFlag = {
      env: { PIKO_CONNECT_TOKEN: "x" },
      given: given(AGENT, { "--connect.token-file": path }),
    };
    expect(tokenOf(load(AGENT, inFile, byEnvironment))).toBe(`|${path}`);
    expect(tokenOf(load(AGENT, inFile, byFlag))).toBe(`|${path}`);
    const text = { ...byEnvironment, given: given(AGENT, { "--connect.token": "x" }) };
    expect(tokenOf(load(AGENT, `connect: {token_file: ${path}}`, text))).toBe("x|");
  });

  it("are rejected at the same level", () => {
    const env = { PIKO_CONNECT_TOKEN: "x", PIKO_CONNECT_TOKEN_FILE: path };
    const flags = given(AGENT, { "--connect.token": "x", "--connect.token-file": path });
    const says = "can't be set together with token";
    expect(problems(() => load(AGENT, `connect:\n  token: x\n  token_file: ${path}\n`))).toEqual([
      `config: piko.yaml:3:15: connect.token_file (--connect.token-file): ${says}`,
    ]);
    expect(problems(() => load(AGENT, inFile, { env }))).toEqual([
      `config: connect.token_file (PIKO_CONNECT_TOKEN_FILE): ${says}`,
    ]);
    expect(problems(() => load(AGENT, inFile, { env, given: flags }))).toEqual([
      `config: connect.token_file (--connect.token-file): ${says}`,
    ]);
  });
});
