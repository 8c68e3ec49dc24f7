// deploy/compose on hosts of a lab, with a real Prometheus: every query of every dashboard and rule returns data under load, and every
// alert fires when its fault is caused. Prometheus scrapes twice a second, and the rules use windows of seconds instead of minutes.

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { CertificateWorkshop } from "@piko/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { activeNodes } from "../harness/cluster.js";
import { type Collector, startCollector } from "../harness/collector.js";
import { eventually } from "../harness/deadline.js";
import { metric } from "../harness/metrics.js";
import { haveNameServer, NameServer } from "../harness/name-server.js";
import { haveNetworkLab, type LabHost, NetworkLab, partition } from "../harness/network-lab.js";
import { PIKO, type RunningServer } from "../harness/piko.js";
import { type Program, startProgram } from "../harness/program.js";
import { Prometheus } from "../harness/prometheus.js";
import { RawClient } from "../harness/raw-client.js";
import { perFile } from "../harness/stage.js";
import { ecPair, inSeconds, jwkOf, token } from "../harness/tokens.js";
import { haveTools, run } from "../harness/tools.js";
import { ComposeLab } from "./compose-file.js";
import { metricsIn, panelQueries, readRules } from "./queries.js";

const scene = perFile();
const available =
  haveTools("prometheus", "haproxy", "python3", "openssl") && haveNameServer && (await haveNetworkLab());

interface RunningAgent {
  readonly program: Program;
  readonly admin: string;
}

/** Limit of open files for the node that is to run short of them. */
const MAX_FILES = 160;

let compose: ComposeLab;
let prometheus: Prometheus;
let balancer: LabHost;
let collector: Collector;
const nodeHosts: LabHost[] = [];
const nodes: RunningServer[] = [];
const agents: RunningAgent[] = [];

/**
 * Settings of nodes and agents beyond those of the Compose file, so that there is data about tokens, certificates, memory and traces.
 */
const nodeEnv: Record<string, string> = { PIKO_PROXY_LIMITS_MAX_BUFFERED_BYTES: "256KiB" };
/** A token that all ports accept. */
let bearer = "";

async function prepareSecrets(directory: string): Promise<void> {
  const workshop = new CertificateWorkshop();
  scene.defer(() => workshop[Symbol.dispose]());
  const ca = workshop.authority("ca");
  const { cert, key } = workshop.sign(ca, "node");
  const pair = ecPair();
  const jwks = join(directory, "jwks.json");
  writeFileSync(jwks, JSON.stringify({ keys: [jwkOf(pair, { kid: "k", alg: "ES256", use: "sig" })] }));
  Object.assign(nodeEnv, {
    PIKO_PROXY_TLS_CERT: cert,
    PIKO_PROXY_TLS_KEY: key,
    PIKO_PROXY_TLS_MODE: "optional",
    PIKO_PROXY_TLS_CLIENT_ROOT_CAS: ca.cert,
    PIKO_PROXY_TLS_CLIENT_SERVER_NAME: "localhost",
    PIKO_PROXY_AUTH_JWKS_ENDPOINT: `file://${jwks}`,
    PIKO_UPSTREAM_AUTH_JWKS_ENDPOINT: `file://${jwks}`,
  });
  bearer = token("ES256", pair.privateKey, { exp: inSeconds(3_600) }, { kid: "k" });
}

function start(host: LabHost, name: string, program: string, args: string[], env = {}): Program {
  const isOurs = program === PIKO;
  const all = isOurs ? [...args, "--log.format", "json"] : args;
  return startProgram(scene, name, ...host.command(program, all), { env, stopCode: isOurs ? 0 : undefined });
}

function startNode(host: LabHost, name: string): void {
  const program = start(host, name, PIKO, [...compose.command(name), "--drain-delay=0s"], nodeEnv);
  const at = (port: number): string => `${host.main}:${port}`;
  nodes.push({ program, proxy: at(8_000), upstream: at(8_001), admin: at(8_002), gossip: at(8_003) });
}

/** Starts another agent. */
async function startAgent(host: LabHost): Promise<void> {
  const program = start(host, "agent", PIKO, compose.command("agent"), {
    PIKO_CONNECT_TOKEN: bearer,
    PIKO_TRACING_URL: collector.url,
  });
  await program.waitFor("connected");
  agents.push({ program, admin: `${host.main}:5000` });
}

/** Makes Prometheus scrape often, and rules use short windows. */
function accelerated(text: string): string {
  return text
    .replaceAll(/(interval): 15s/g, "$1: 500ms")
    .replaceAll("[5m]", "[5s]")
    .replaceAll("[10m]", "[15s]")
    .replaceAll(/for: \d+[mh]/g, "for: 0s");
}

const ask = async (endpoint: string, authorization = `Bearer ${bearer}`): Promise<string> => {
  const headers = { "x-piko-endpoint": endpoint, authorization };
  const response = await fetch(`http://${balancer.main}:8000/`, { headers });
  return `${response.status} ${await response.text()}`;
};

/** Sends requests to the service, two at a time, until the stage ends; `reports` gets all responses that aren't 200. */
function keepAsking(reports: string[]): void {
  const stop = new AbortController();
  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const answer = await ask("my-endpoint").catch(String);
      if (!answer.startsWith("200")) reports.push(answer);
    }
  };
  const done = Promise.all([loop(), loop()]);
  scene.defer(async () => {
    stop.abort();
    await done;
  });
}

/** Opens a tunnel and closes it at once; returns the status of the response, NaN if there was none. */
async function openTunnel(upstream: string, authorization = `Bearer ${bearer}`): Promise<number> {
  const headers = { authorization };
  const socket = new WebSocket(`ws://${upstream}/piko/v1/upstream/another`, { headers });
  try {
    await once(socket, "open");
    return 101;
  } catch (error) {
    return Number(/\d{3}/.exec(String(error))?.[0]);
  } finally {
    socket.on("error", () => {}).terminate();
  }
}

async function sendGarbage(node: RunningServer): Promise<void> {
  const [host = "", port] = node.gossip.split(":");
  const socket = createSocket("udp4");
  await new Promise((resolve) => {
    socket.send("garbage", Number(port), host, resolve);
  });
  socket.close();
}

/** A dashboard's query as Grafana would send it, without filters for values above zero. */
const asSent = (expr: string): string =>
  expr
    .replaceAll("$__rate_interval", "1m")
    .replaceAll(/\$\w+/g, ".*")
    .replaceAll(/ > 0\b/g, "");

/** The selectors of a rule, which must find series. The rule itself mostly finds none, because its threshold isn't reached. */
function selectorsOf(expr: string): string[] {
  return metricsIn(expr).flatMap((name) =>
    [...expr.matchAll(new RegExp(`(?<![\\w:])${name}(?:\\{[^}]*\\})?(?![\\w:])`, "g"))].map(
      ([selector]) => selector,
    ),
  );
}

async function withoutResult(queries: readonly string[]): Promise<string[]> {
  const empty: string[] = [];
  for (const query of new Set(queries)) if ((await prometheus.query(query)).length === 0) empty.push(query);
  return empty;
}

describe.skipIf(!available)("the Compose file's cluster", () => {
  const [failures]: [string[]] = [[]];

  beforeAll(async () => {
    const lab = await NetworkLab.create(scene);
    const directory = await scene.directory();
    await prepareSecrets(directory);
    collector = await startCollector(scene, { address: lab.address4(1) });
    nodeEnv["PIKO_TRACING_URL"] = collector.url;
    compose = new ComposeLab(lab, await NameServer.start(scene, await lab.host("ipv4")), directory);
    const names = ["node-1", "node-2", "node-3"];
    for (const name of names) nodeHosts.push(await compose.host(name));
    const service = await compose.host("service");
    balancer = await compose.host("balancer");
    const agentHosts = [await compose.host("agent"), await compose.host("agent")];
    const args = compose
      .command("prometheus", accelerated)
      .map((each) => each.replace("=/prometheus", `=${directory}/tsdb`));
    // Starts first, because its first scrapes take a while.
    prometheus = await Prometheus.start(scene, await compose.host("prometheus"), args);
    for (const [i, host] of nodeHosts.entries()) startNode(host, names[i] ?? "");
    for (const [host, name] of [
      [service, "service"],
      [balancer, "balancer"],
    ] as const) {
      const [program = "", ...args] = compose.command(name);
      start(host, name, program, args);
    }
    // An agent that can't connect exits, and here no container engine restarts it.
    await eventually(() => openTunnel(`${balancer.main}:8001`).then((status) => status === 101), "a node");
    await Promise.all(agentHosts.map((host) => startAgent(host)));
    for (const node of nodes) {
      await eventually(async () => (await activeNodes(node)).split(" ").length === 3, "three nodes");
    }
    await eventually(async () => (await ask("my-endpoint")).startsWith("200"), "an answer");
    keepAsking(failures);
    await eventually(async () => (await prometheus.query("up == 1")).length === 5, "five targets");
  });

  it("is scraped, and fires no alert while all is well, except for a certificate that expires in two days", async () => {
    // Long enough for every rule to have rates, and for these to no longer include the first tunnels.
    const settled = "min(count_over_time(up[1m])) > 6 and sum(rate(piko_upstreams_opened_total[5s])) == 0";
    const rate = `job:piko_proxy_requests:rate5m > 0 and on () (${settled})`;
    await eventually(async () => (await prometheus.query(rate)).length > 0, "rates");
    expect(await prometheus.firing()).toEqual(["PikoCertificateExpiring"]);
    expect(failures).toEqual([]);
  });

  it("fires alerts for failed requests, refused tokens, gossip and spans, and an unhealthy service", async () => {
    const more =
      "  - endpoint_id: broken\n    addr: service:3999\n" +
      "  - endpoint_id: unwell\n    addr: service:3998\n    health_check: {tcp: true}\n";
    compose.command("agent", (text) => text + more);
    agents[1]?.program.signal("SIGHUP");
    await eventually(async () => (await ask("broken")).includes("connect_refused"), "the endpoint");
    collector.status = 400;
    await Promise.all([
      prometheus.untilFiring("PikoSpansDropped", () => Promise.resolve()),
      prometheus.untilFiring("PikoAgentDisconnected", () => Promise.resolve()),
      prometheus.untilFiring("PikoRequestsFailing", async () => {
        expect(await ask("broken")).toContain("connect_refused");
      }),
      prometheus.untilFiring("PikoNoUpstream", async () => {
        expect(await ask("nobody")).toContain("no_upstream");
      }),
      prometheus.untilFiring("PikoTokensRefused", async () => {
        expect(await ask("my-endpoint", "Bearer none")).toContain("401");
        for (const node of nodes) expect(await openTunnel(node.upstream, "Bearer none")).toBe(401);
      }),
      prometheus.untilFiring("PikoGossipRefused", async () => {
        for (const node of nodes) await sendGarbage(node);
      }),
    ]);
  });

  it("has data for every query of every dashboard and rule", async () => {
    const [node] = nodes;
    // An incomplete TLS handshake.
    const client = await RawClient.connect(scene, node?.proxy ?? "");
    client.send(Buffer.from("1603010005010000010303", "hex").toString("latin1"));
    await client.end;
    const queries = [
      ...panelQueries().map(({ expr }) => asSent(expr)),
      ...readRules().flatMap(({ expr }) => selectorsOf(accelerated(expr))),
    ];
    expect(queries.length).toBeGreaterThan(150);
    await eventually(async () => (await withoutResult(queries)).length === 0, "data", 20_000).catch(
      async () => expect(await withoutResult(queries)).toEqual([]),
    );
  });

  it("fires alerts for memory, files, short-lived tunnels, and agents that stand still", async () => {
    const [node, crowded] = nodes;
    if (node === undefined || crowded === undefined) throw new Error("no nodes");
    const limit = await run("prlimit", ["--pid", String(crowded.program.pid), `--nofile=${MAX_FILES}`]);
    expect(limit).toMatchObject({ code: 0, stderr: "" });
    const used = async (): Promise<number> => (await metric(node.admin, "piko_proxy_buffered_bytes")) ?? 0;
    const hasTunnelInDoubt = async (): Promise<boolean> =>
      (await prometheus.query("piko_upstreams_doubtful_upstreams > 0")).length > 0;
    const [agent, slow] = agents;
    if (agent === undefined || slow === undefined) throw new Error("no agents");
    await Promise.all([
      prometheus.untilFiring("PikoMemoryNearLimit", async () => {
        const before = await used();
        if (before > 0.85 * 256 * 1024) return;
        const client = await RawClient.connect(scene, node.proxy);
        client.send(`GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}`);
        await eventually(async () => (await used()) > before, "buffered bytes");
      }),
      prometheus.untilFiring("PikoFilesNearLimit", async () => {
        const open = (await metric(crowded.admin, "process_open_fds")) ?? 0;
        if (open < 0.85 * MAX_FILES) await RawClient.connect(scene, crowded.proxy);
      }),
      prometheus.untilFiring("PikoReconnectStorm", async () => {
        expect(await openTunnel(node.upstream)).toBe(101);
      }),
      prometheus.untilFiring("PikoTunnelsInDoubt", () => Promise.resolve()),
      // Pauses so short that each scrape gets its response: the delay is that since the last one.
      prometheus.untilFiring("PikoEventLoopDelayed", async () => {
        slow.program.signal("SIGSTOP");
        await delay(200).finally(() => slow.program.signal("SIGCONT"));
      }),
      prometheus.untilFiring("PikoStoodStill", async () => {
        agent.program.signal("SIGSTOP");
        await eventually(hasTunnelInDoubt, "doubt").finally(() => agent.program.signal("SIGCONT"));
        // A response shows that it is running again.
        await metric(agent.admin, "piko_process_stood_still_total");
      }),
    ]);
  });

  it("fires alerts for a node that is cut off, and for one that is down", async () => {
    const [first, second, third] = nodeHosts;
    if (first === undefined || second === undefined || third === undefined) throw new Error("no hosts");
    expect(await prometheus.firing()).not.toContain("PikoNodesDisagree");
    await partition([second], [first, third]);
    await prometheus.untilFiring("PikoNodesDisagree", () => Promise.resolve());
    for (const host of nodeHosts) await host.heal();
    await nodes[2]?.program.kill();
    await prometheus.untilFiring("PikoDown", () => Promise.resolve());
  });
});
