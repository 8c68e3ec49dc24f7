// TLS that changes under load: turned on in a cluster by the guide's steps, and with authorities that are replaced. No
// request fails and no stream ends. The long run has 300 requests a second, some of five seconds, and another node.

import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KeyPair } from "@piko/testkit";
import { expect } from "vitest";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import { startTrafficService } from "../harness/traffic-service.js";
import { LONG, together } from "../harness/long-run.js";
import { MutualTls, type Port, tlsFlags, tlsOptions, type TlsSide } from "../harness/mutual-tls.js";
import { type RunningServer, startAgent } from "../harness/piko.js";
import { RollingCluster } from "../harness/rolling-cluster.js";
import { ownStage } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";

const RATE = LONG ? 1 : 0.2;
/** Each step waits for the longest requests in progress: in the long run, requests of five seconds and streams of three. */
const MIX = {
  get: 180 * RATE,
  post: 110 * RATE,
  slow: LONG ? 6 : 0,
  events: LONG ? 2 : 1,
  webSockets: LONG ? 2 : 1,
  eventMs: LONG ? 300 : 120,
};
const LEAVE: Record<string, string> = LONG ? {} : { "drain-delay": "500ms", "drain-window": "500ms" };
/** Request timeouts are tested elsewhere; here they would only measure the machine. */
const AGENT = ["--access-log.disable", "--timeout", "1m"];
/** The admin port, whose responses the test reads, stays plain. */
const SWITCHED: readonly Port[] = ["proxy", "upstream"];

together(
  "is turned on in rolling restarts, by the guide's steps",
  async (context) => {
    const scene = ownStage(context);
    const service = await startTrafficService(scene);
    const tls = new MutualTls(scene);
    const cluster = await RollingCluster.start(scene, LEAVE, 0, LONG ? 3 : 2);
    const { balancer } = cluster;
    const start = async (scheme: string, flags: readonly string[]) => {
      const options = { flags: [...AGENT, ...flags] };
      return await startAgent(scene, `${scheme}://${balancer.upstream}`, "web", service, options);
    };
    const before = [await start("http", []), await start("http", [])];
    await cluster.untilKnown("web");
    const plain = Traffic.start(scene, balancer.proxy, "web", MIX);

    const files = Object.fromEntries(
      SWITCHED.flatMap((port) => [
        [`${port}.tls.cert`, tls.server.cert],
        [`${port}.tls.key`, tls.server.key],
        [`${port}.tls.client.root-cas`, tls.ca.cert],
        [`${port}.tls.mode`, "optional"],
      ]),
    );
    await cluster.roll(files);

    const trust = ["--connect.tls.root-cas", tls.ca.cert];
    for (const agent of before) {
      await start("https", trust);
      await agent.stop();
    }
    const ca = readFileSync(tls.ca.cert);
    const secure = Traffic.start(scene, balancer.proxy, "web", MIX, () => ({ ca }));
    const { counts, failures } = await plain.stop();
    // According to the metric, no one connects without TLS any more.
    const countPlain = (): Promise<number[]> => Promise.all(cluster.nodes.map(plainConnections));
    const last = await countPlain();
    const seen = secure.count("get");
    await eventually(() => secure.count("get") > seen + 100, "requests by TLS");
    expect(await countPlain()).toEqual(last);

    await cluster.roll(Object.fromEntries(SWITCHED.map((port) => [`${port}.tls.mode`, "required"])));
    const end = await secure.stop();
    await Promise.all([...cluster.nodes].map((node) => cluster.kill(node)));
    console.info(`plain ${JSON.stringify(counts)}, by TLS ${JSON.stringify(end.counts)}`);
    expect([...failures, ...end.failures].slice(0, 20)).toEqual([]);
    expect(end.counts["events"]).toBeGreaterThan(5);
  },
  1_800_000,
);

async function plainConnections({ admin }: RunningServer): Promise<number> {
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  const numbers = [...text.matchAll(/^piko_tls_plain_total\{port="(?:proxy|upstream)"\} (\d+)$/gm)];
  return numbers.reduce((sum, [, count]) => sum + Number(count), 0);
}

together(
  "has its authorities replaced in two steps: both, then the new one alone",
  async (context) => {
    const scene = ownStage(context);
    const service = await startTrafficService(scene);
    const tls = new MutualTls(scene);
    const { ca: old, workshop } = tls;
    const next = workshop.authority("next");
    const directory = await scene.directory();
    const cas = join(directory, "cas.pem");
    const trust = (...authorities: readonly KeyPair[]): void =>
      writeFileSync(cas, authorities.map(({ cert }) => readFileSync(cert)).join(""));
    trust(old);
    const sides: { readonly side: TlsSide; readonly renew: (authority: KeyPair) => void }[] = [];
    const side = (name: string, usage: "serverAuth" | "clientAuth"): TlsSide => {
      const files = { cas, cert: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) };
      const renew = (authority: KeyPair): void => {
        const pair = workshop.sign(authority, `${name}-${sides.length}-${authority === old}`, { usage });
        copyFileSync(pair.key, files.key);
        copyFileSync(pair.cert, files.cert);
      };
      renew(old);
      sides.push({ side: files, renew });
      return files;
    };
    const [server, node, agent, client] = [
      side("server", "serverAuth"),
      side("node", "clientAuth"),
      side("agent", "clientAuth"),
      side("client", "clientAuth"),
    ];
    const flags: Record<string, string> = tls.flags(SWITCHED, server, node);
    for (const port of SWITCHED) flags[`${port}.tls.reload-interval`] = "100ms";
    const nodes = await startCluster(scene, ["a", "b"], {
      ...flags,
      "proxy.timeout": "1m",
      "upstream.auth.expiry-grace": "1m",
    });
    const connect = { flags: [...AGENT, ...tlsFlags("connect", agent)] };
    for (let i = 0; i < 2; i++)
      await startAgent(scene, `https://${nodes[0].upstream}`, "web", service, connect);
    await untilEndpoints(nodes[1], "a", 1);
    // The second node has no agents: its requests are hops, with the nodes' certificates.
    const traffic = nodes.map(({ proxy }) =>
      Traffic.start(scene, proxy, "web", MIX, () => tlsOptions(client)),
    );
    /** Waits until a step has taken effect everywhere and requests from before it have ended. */
    const settle = async (): Promise<void> => {
      const seen = traffic.map((each) => each.count("get"));
      await eventually(
        () => traffic.every((each, at) => each.count("get") > (seen[at] ?? 0) + 200 * RATE),
        "requests",
      );
      await Promise.all(traffic.map((each) => each.settled()));
    };
    const untilReloaded = async (times: number): Promise<void> => {
      for (const { program } of nodes) {
        await eventually(() => {
          const logged = program.lines.filter(({ fields }) => fields["msg"] === "certificates read again");
          return logged.length >= times * SWITCHED.length;
        }, "certificates that are read again");
      }
    };
    await settle();
    trust(old, next);
    await untilReloaded(1);
    await settle();
    for (const { renew } of sides) renew(next);
    await untilReloaded(2);
    await settle();
    trust(next);
    await untilReloaded(3);
    await nodes[0].program.waitFor("upstream certificate is no longer valid");
    await settle();
    const reports = await Promise.all(traffic.map((each) => each.stop()));
    console.info(JSON.stringify(reports.map(({ counts }) => counts)));
    expect(reports.flatMap(({ failures }) => failures).slice(0, 20)).toEqual([]);
  },
  600_000,
);
