// Names with several addresses, the first far away and the last dead: everything that connects reaches the live one. And
// names that no name server answers for: they delay nothing else.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.js";
import { PIKO } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { createSlowLink, type SlowLink } from "../harness/slow-link.js";
import { perTest, Stage } from "../harness/stage.js";

const scene = perTest();
const NAME = "far.piko.test";
/** Longer than the quarter of a second after which the next address is tried. */
const ROUND_TRIP_MS = 400;
const JSON_LOG = "--log.format json";

const probe = new Stage();
const available = (await createSlowLink(probe, NAME, 0)) !== undefined;
await probe.clear();

/** Creates the two hosts, with a server on the far one. */
async function hosts(flags = ""): Promise<SlowLink & { server: Program }> {
  const link = await createSlowLink(scene, NAME, ROUND_TRIP_MS);
  if (link === undefined) throw new Error("no slow link");
  const server = link.far.start(scene, "server", `${PIKO} server --drain-delay 0s ${JSON_LOG} ${flags}`);
  await server.waitFor("server started");
  return { ...link, server };
}

/** Starts a web site on port 3000 of a host. Unlike Python's server, it doesn't look up its own name. */
async function site(host: SlowLink["near"]): Promise<void> {
  const file = join(await scene.directory(), "site.cjs");
  const server = `require("node:http").createServer((_, response) => response.end("hello from afar"))`;
  await writeFile(file, `${server}.listen(3000, () => console.log("listening"));`);
  await host.start(scene, "site", `node ${file}`).waitForLine(({ text }) => text === "listening", "site");
}

describe.skipIf(!available)("a name with a slow address followed by a dead one is reached by", () => {
  it("an agent that connects to the server, and to its service", async () => {
    const { near, far } = await hosts();
    await site(far);
    const command = `${PIKO} agent http web ${NAME}:3000 --connect.url http://${NAME}:8001 ${JSON_LOG}`;
    const agent = near.start(scene, "agent", command);
    await agent.waitFor("connected");
    const answer = await far.run("curl -s -H 'x-piko-endpoint: web' http://127.0.0.1:8000/hello");
    expect(answer.stdout).toBe("hello from afar");
  });

  it("an agent that connects to a TCP service, and a forwarder", async () => {
    const { near, far } = await hosts();
    await site(far);
    const agent = `${PIKO} agent tcp site ${NAME}:3000 --connect.url http://${NAME}:8001 ${JSON_LOG}`;
    await near.start(scene, "agent", agent).waitFor("connected");
    const forward = `${PIKO} forward tcp 127.0.0.1:9000 site --connect.url http://${NAME}:8000 ${JSON_LOG}`;
    await near.start(scene, "forward", forward).waitFor("listening");
    const answer = await near.run("curl -s http://127.0.0.1:9000/hello");
    expect(answer.stdout).toBe("hello from afar");
  });

  it("the SDK", async () => {
    const { near, far } = await hosts();
    const program = `
      import { dial, forward } from "@piko/client";
      const listener = await forward("site", "${NAME}:3000", { url: "http://${NAME}:8001" });
      const socket = await dial("site", { url: "http://${NAME}:8000" });
      socket.end("GET /hello HTTP/1.0\\r\\n\\r\\n");
      for await (const chunk of socket) process.stdout.write(chunk);
      await listener.close();`;
    await site(far);
    const file = join(await scene.directory(), "sdk.mjs");
    const sdk = new URL("../../packages/client/dist/index.js", import.meta.url);
    await writeFile(file, program.replace("@piko/client", fileURLToPath(sdk)));
    const { stdout, stderr } = await near.run(`node ${file}`);
    expect(stderr).toBe("");
    expect(stdout).toContain("hello from afar");
  });

  it("the status command, and a node that connects to another", async () => {
    const { near, far } = await hosts(
      `--cluster.node-id far --proxy.advertise-addr ${NAME}:8000 --admin.advertise-addr ${NAME}:8002`,
    );
    await site(far);
    const agent = `${PIKO} agent http web 3000 --connect.url http://127.0.0.1:8001 ${JSON_LOG}`;
    await far.start(scene, "agent", agent).waitFor("connected");
    const server = `${PIKO} server --cluster.node-id near --drain-delay 0s --cluster.join ${far.address} ${JSON_LOG}`;
    await near.start(scene, "server", server).waitFor("server started");
    const status = `${PIKO} server status cluster nodes --output json --server.url`;
    expect((await near.run(`${status} http://${NAME}:8002`)).stdout).toContain('"far"');
    await eventually(async () => {
      const { stdout } = await near.run(`${status} http://127.0.0.1:8002`);
      return /"far"/.test(stdout);
    }, "cluster of two");
    const ask = "curl -s -H 'x-piko-endpoint: web' http://127.0.0.1:8000/hello";
    await eventually(
      async () => (await near.run(ask)).stdout === "hello from afar",
      "answer through the far host",
    );
    const forwarded = await near.run("curl -s 'http://127.0.0.1:8002/status/upstream/endpoints?forward=far'");
    expect(forwarded.stdout).toContain('"web"');
  });
});

describe.skipIf(!available)("names without an answer", () => {
  /** More than Node's threads for system lookups. */
  const NAMES = 40;

  it("delay neither other services of an agent nor its exit", async () => {
    const { near } = await hosts();
    const flags = `--drain-delay 0s --proxy.timeout 10m ${JSON_LOG}`;
    const server = near.start(scene, "server", `${PIKO} server ${flags}`);
    await server.waitFor("server started");
    await site(near);
    const file = join(await scene.directory(), "agent.yaml");
    const names = Array.from({ length: NAMES }, (_, i) => `dead-${i}`);
    const lines = names.map((name) => `- {endpoint_id: ${name}, addr: "${name}.test:80", timeout: 10m}`);
    await writeFile(
      file,
      ["grace_period: 1s", "listeners:", ...lines, "- {endpoint_id: web, addr: localhost:3000}", ""].join(
        "\n",
      ),
    );
    const command = `${PIKO} agent start --config.path ${file} --connect.url http://localhost:8001 ${JSON_LOG}`;
    const agent = near.start(scene, "agent", command);
    await eventually(
      () => agent.lines.filter(({ fields }) => fields["msg"] === "connected").length === NAMES + 1,
      "listeners",
    );
    const ask = (name: string): string =>
      `curl -s -o /dev/null -w '%{http_code} ' -H 'x-piko-endpoint: ${name}' http://127.0.0.1:8000/hello`;
    const dead = near.run(names.map((name) => `${ask(name)} &`).join(" ") + " wait");
    await eventually(async () => {
      const { stdout } = await near.run("curl -s http://127.0.0.1:8002/metrics");
      return stdout.includes(`piko_proxy_requests_in_flight ${NAMES}`);
    }, "requests for dead names");
    const live = await near.run(Array.from({ length: 30 }, () => ask("web")).join(" && "));
    expect(live.stdout.trim().split(" ")).toEqual(Array.from({ length: 30 }, () => "200"));
    // The dead names are still being looked up.
    const { stdout } = await near.run("curl -s http://127.0.0.1:8002/metrics");
    expect(stdout).toContain(`piko_proxy_requests_in_flight ${NAMES}`);
    agent.signal("SIGTERM");
    await within(agent.exited, "end of the agent");
    expect((await dead).stdout.trim().split(" ")).toEqual(names.map(() => "502"));
  });

  it.each([
    ["a server", "http web 3000 --connect.url http://dead.test:8001"],
    [
      "a proxy",
      "http web 3000 --connect.url http://127.0.0.1:8001 --connect.proxy-url http://dead.test:3128",
    ],
  ])("don't delay the exit of an agent that can't find %s", async (_what, args) => {
    const { near } = await hosts();
    const start = (timeout: string): Program =>
      near.start(scene, "agent", `${PIKO} agent ${args} --connect.timeout ${timeout} ${JSON_LOG}`);
    expect((await within(start("1s").exited, "end")).code).toBe(1);
    const agent = start("1m");
    const asks = async (): Promise<boolean> =>
      (await near.run(`grep -q ':0035 ' /proc/${agent.pid}/net/udp`)).code === 0;
    await eventually(asks, "question to the name server");
    agent.signal("SIGTERM");
    await within(agent.exited, "end");
  });
});
