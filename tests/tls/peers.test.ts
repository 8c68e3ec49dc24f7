// Real peers over TLS: curl, openssl, our own programs with mutual TLS, and two nodes.

import {
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { Agent, request } from "node:https";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { CertificateWorkshop } from "@piko/testkit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { piko, type RunningServer, runPiko, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const stage = perFile();
const scene = perTest();
const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());

const ca = workshop.authority("ca");
const forServer = workshop.sign(ca, "server");
const forShop = workshop.sign(ca, "shop", { names: "DNS:*.shop.test" });
const forClient = workshop.sign(ca, "client", { usage: "clientAuth" });
const CLIENT = [
  ["cert", forClient.cert],
  ["key", forClient.key],
  ["root-cas", ca.cert],
] as const;
let service: Service;

beforeAll(async () => {
  service = await Service.start(stage);
});

/** Flags for mutual TLS on all ports. */
function mutual(): Record<string, string> {
  const flags: Record<string, string> = {};
  for (const port of ["proxy", "upstream", "admin"]) {
    flags[`${port}.tls.cert`] = forServer.cert;
    flags[`${port}.tls.key`] = forServer.key;
    flags[`${port}.tls.client-cas`] = ca.cert;
    for (const [name, path] of CLIENT) flags[`${port}.tls.client.${name}`] = path;
  }
  return flags;
}

function connectFlags(prefix: string): string[] {
  return CLIENT.flatMap(([name, path]) => [`--${prefix}.tls.${name}`, path]);
}

async function startTlsAgent(server: RunningServer, endpoint: string) {
  const url = ["--connect.url", `https://${server.upstream}`, ...connectFlags("connect")];
  const agent = piko(scene, `agent ${endpoint}`, ["agent", "http", endpoint, service.addr, ...url]);
  await agent.waitFor("connected");
  return agent;
}

const CURL = [
  "--silent",
  "--show-error",
  "--cacert",
  ca.cert,
  "--cert",
  forClient.cert,
  "--key",
  forClient.key,
];

it("serves curl, our agent, our forwarder and our status command over mutual TLS, through a second node", {
  timeout: 180_000,
}, async () => {
  const first = await startServer(scene, mutual());
  const second = await startServer(scene, { ...mutual(), "cluster.join": first.gossip });
  await startTlsAgent(first, "web");
  for (const server of [first, second]) {
    const answer = await eventually(async () => {
      const result = await run("curl", [
        ...CURL,
        "-H",
        "x-piko-endpoint: web",
        `https://${server.proxy}/reflect`,
      ]);
      return result.stdout.includes("x-forwarded-proto") && result.stdout;
    }, "an answer");
    // The hop comes from a node, whose `x-forwarded-proto` for its client counts.
    expect(answer).toMatch(/"x-forwarded-proto":\s*"https"/);
    const status = await runPiko(
      ...["server", "status", "upstream", "endpoints", "--server.url", `https://${server.admin}`],
      ...connectFlags("server"),
    );
    expect([status.code, status.stderr]).toEqual([0, ""]);
  }
  const tcp = piko(scene, "agent tcp", [
    ...["agent", "tcp", "raw", service.addr, "--connect.url", `https://${first.upstream}`],
    ...connectFlags("connect"),
  ]);
  await tcp.waitFor("connected");
  const forward = piko(scene, "forward", [
    ...["forward", "tcp", "127.0.0.1:0", "raw", "--connect.url", `https://${second.proxy}`],
    ...connectFlags("connect"),
  ]);
  const { fields } = await forward.waitFor("listening");
  await eventually(async () => {
    const result = await run("curl", ["--silent", `http://${String(fields["addr"])}/item?i=1`]);
    return result.code === 0 && result.stdout !== "";
  }, "an answer through the forwarder");
  // From one admin port to another.
  const nodes = await run("curl", [...CURL, `https://${first.admin}/status/cluster/nodes`]);
  const ids = [...nodes.stdout.matchAll(/"id":\s*"([^"]+)"/g)].map((match) => match[1]);
  expect(ids).toHaveLength(2);
  for (const id of ids) {
    const page = await run("curl", [
      ...CURL,
      `https://${first.admin}/status/upstream/endpoints?forward=${id}`,
    ]);
    expect([page.code, page.stdout]).toEqual([0, expect.stringMatching(/^[[{]/)]);
  }
});

it("presents the certificate for the requested name, and the first one for all others", async () => {
  const config = join(await scene.directory(), "server.yaml");
  const { cert, key } = forShop;
  writeFileSync(
    config,
    JSON.stringify({
      proxy: { tls: { cert: forServer.cert, key: forServer.key, certificates: [{ cert, key }] } },
    }),
  );
  const server = await startServer(scene, { "config.path": config });
  const shown = async (...name: string[]): Promise<string> => {
    const options = ["-connect", server.proxy, ...name];
    const { stdout } = await run("openssl", ["s_client", ...options]);
    return /subject=.*CN ?= ?(\S+)/.exec(stdout)?.[1] ?? stdout;
  };
  expect(await shown("-servername", "www.shop.test")).toBe("shop");
  expect(await shown("-servername", "localhost")).toBe("server");
  expect(await shown("-servername", "unknown.test")).toBe("server");
  expect(await shown("-noservername")).toBe("server");
});

it("accepts plain connections too if TLS is optional, and counts them", async () => {
  const server = await startServer(scene, {
    "proxy.tls.cert": forServer.cert,
    "proxy.tls.key": forServer.key,
    "proxy.tls.mode": "optional",
    "upstream.tls.cert": forServer.cert,
    "upstream.tls.key": forServer.key,
    "upstream.tls.mode": "optional",
  });
  const plain = piko(scene, "agent", [
    "agent",
    "http",
    "web",
    service.addr,
    "--connect.url",
    `http://${server.upstream}`,
    // In search of a second node, the agent would connect more often.
    ...["--connect.tunnels", "1"],
  ]);
  await plain.waitFor("connected");
  for (const scheme of ["http", "https"]) {
    const { stdout } = await run("curl", [
      ...CURL,
      "-H",
      "x-piko-endpoint: web",
      `${scheme}://${server.proxy}/reflect`,
    ]);
    expect(stdout).toMatch(new RegExp(`"x-forwarded-proto":\\s*"${scheme}"`));
  }
  const { stdout } = await run("curl", ["--silent", `http://${server.admin}/metrics`]);
  expect(stdout).toContain('piko_tls_plain_total{port="proxy"} 1\n');
  expect(stdout).toContain('piko_tls_plain_total{port="upstream"} 1\n');
});

it("renews certificates under load, by other files and by a swapped link, and keeps open connections", {
  timeout: 180_000,
}, async () => {
  const directory = await scene.directory();
  const put = (name: string): void => {
    const pair = workshop.sign(ca, `server-${name}`);
    mkdirSync(join(directory, name));
    copyFileSync(pair.cert, join(directory, name, "tls.crt"));
    copyFileSync(pair.key, join(directory, name, "tls.key"));
  };
  put("1");
  symlinkSync("1", join(directory, "..data"));
  const cert = join(directory, "..data", "tls.crt");
  const key = join(directory, "..data", "tls.key");
  const flags: Record<string, string> = {};
  for (const port of ["proxy", "upstream"]) {
    flags[`${port}.tls.cert`] = cert;
    flags[`${port}.tls.key`] = key;
    flags[`${port}.tls.reload-interval`] = "100ms";
  }
  const server = await startServer(scene, flags);
  await startTlsAgent(server, "web");
  const tunnels = service.connections;
  const [host = "", port] = server.proxy.split(":");
  const authority = readFileSync(ca.cert);
  const subjects = new Set<string>();
  const failures: string[] = [];
  let answers = 0;
  const ask = (agent: Agent | false): Promise<void> =>
    new Promise((resolve) => {
      const options = { host, port: Number(port), path: "/item?i=1", ca: authority, agent };
      const outgoing = request({ ...options, headers: { "x-piko-endpoint": "web" } }, (response) => {
        const { socket } = response as unknown as { socket: TLSSocket };
        if (agent === false) subjects.add(String(socket.getPeerCertificate().subject?.CN));
        if (response.statusCode !== 200) failures.push(`status ${response.statusCode}`);
        // A response that is cut has no `end` event.
        response.resume().once("close", () => {
          if (response.complete) answers++;
          else failures.push("an answer that was cut");
          resolve();
        });
      });
      outgoing.on("error", (error) => {
        failures.push(error.message);
        resolve();
      });
      outgoing.end();
    });
  const stop = new AbortController();
  const kept = new Agent({ keepAlive: true, maxSockets: 2 });
  scene.defer(() => {
    stop.abort();
    kept.destroy();
  });
  const loops = ([kept, kept, false, false] as const).map(async (agent) => {
    while (!stop.signal.aborted) await ask(agent);
  });
  const until = (name: string): Promise<unknown> =>
    eventually(() => subjects.has(name) || failures.length > 0, `an answer by ${name}`).then(() =>
      expect(failures).toEqual([]),
    );
  await until("server-1");
  // Swaps a symbolic link, as Kubernetes does.
  put("2");
  symlinkSync("2", join(directory, "..data_tmp"));
  renameSync(join(directory, "..data_tmp"), join(directory, "..data"));
  await until("server-2");
  // Replaces one file after the other; in between, they don't match.
  const next = workshop.sign(ca, "server-3");
  copyFileSync(next.cert, join(directory, "2", "tls.crt"));
  const seen = answers;
  await eventually(() => answers > seen + 50, "answers meanwhile");
  // A file is empty for a moment when it is overwritten; here for several checks.
  writeFileSync(join(directory, "2", "tls.key"), "");
  const emptied = answers;
  await eventually(() => answers > emptied + 500, "answers while the key's file is empty");
  copyFileSync(next.key, join(directory, "2", "tls.key"));
  await until("server-3");
  rmSync(join(directory, "..data"));
  const before = answers;
  await eventually(() => answers > before + 50, "answers without files");
  stop.abort();
  await Promise.all(loops);
  expect(failures).toEqual([]);
  expect(service.connections - tunnels).toBeLessThan(50);
});

it("is turned on in a cluster node by node: hops use TLS to nodes that announce it, and are plain otherwise", {
  timeout: 180_000,
}, async () => {
  const flags = (mode: string): Record<string, string> => ({
    "proxy.tls.cert": forServer.cert,
    "proxy.tls.key": forServer.key,
    "proxy.tls.client.root-cas": ca.cert,
    "proxy.tls.mode": mode,
  });
  const owner = await startServer(scene);
  const plain = ["--connect.url", `http://${owner.upstream}`];
  await piko(scene, "agent", ["agent", "http", "web", service.addr, ...plain]).waitFor("connected");
  const answer = async (server: RunningServer, scheme: string): Promise<string> =>
    (await run("curl", [...CURL, "-H", "x-piko-endpoint: web", `${scheme}://${server.proxy}/reflect`]))
      .stdout;
  const joined = async (more: Record<string, string>): Promise<RunningServer> => {
    const server = await startServer(scene, { "cluster.join": owner.gossip, ...more });
    // Its hops go to the plain node, which it learns about by gossip shortly after its start.
    await eventually(
      async () => (await answer(server, "http")).includes(`"url":"/reflect"`),
      "an answer over a plain hop",
    );
    return server;
  };
  await joined({});
  const first = await joined(flags("optional"));
  expect(await answer(first, "https")).toMatch(/"x-forwarded-proto":\s*"https"/);
  // This time the node with TLS has the tunnel.
  const through = ["--connect.url", `http://${first.upstream}`];
  await piko(scene, "agent 2", ["agent", "http", "shop", service.addr, ...through]).waitFor("connected");
  const second = await startServer(scene, { "cluster.join": owner.gossip, ...flags("required") });
  const shop = await eventually(async () => {
    const { stdout } = await run("curl", [
      ...CURL,
      "-H",
      "x-piko-endpoint: shop",
      `https://${second.proxy}/reflect`,
    ]);
    return stdout.includes("x-forwarded-proto") && stdout;
  }, "an answer over a hop by TLS");
  expect(shop).toMatch(/"x-forwarded-proto":\s*"https"/);
  const { stdout } = await run("curl", ["--silent", `http://${first.admin}/metrics`]);
  // One from the client above, one from the hop.
  expect(Number(/piko_tls_handshakes_total\{port="proxy"\} (\d+)/.exec(stdout)?.[1])).toBeGreaterThanOrEqual(
    2,
  );
});
