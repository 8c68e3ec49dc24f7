// Loads the configurations in docs/guides/load-balancers.md into the real programs, on hosts with the page's addresses and
// names, and sends every kind of traffic through them, also while a node is being stopped.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { LONG } from "../harness/long-run.js";
import { createHosts, type PrivateHost } from "../harness/private-hosts.js";
import type { Program } from "../harness/program.js";
import { Stage } from "../harness/stage.js";
import { haveTools } from "../harness/tools.js";
import { commandsOf, type Fence, fencesOf, ROOT } from "./fences.js";

const FENCES = fencesOf("docs/guides/load-balancers.md");
const PIKO = `${ROOT}node_modules/.bin/piko`;
const FOLDER = fileURLToPath(new URL("balancer", import.meta.url));
/** Longer than a minute, the usual timeout of load balancers. */
const SILENCE_MS = LONG ? 70_000 : 0;
const NAMES = ["piko.example.com", "my-endpoint.piko.example.com", "greeter.piko.example.com"];

interface BalancerProgram {
  readonly language: string;
  readonly file: string;
  readonly command: string;
}

/** How to start each program with the configuration in `file`. */
const PROGRAMS: Readonly<Record<string, BalancerProgram>> = {
  nginx: {
    language: "nginx",
    file: "nginx.conf",
    // Its log folder is private to the host. A single process, so that killing it stops everything.
    command:
      "mount -t tmpfs none /var/log/nginx && exec nginx -p . -c nginx.conf -g 'daemon off; master_process off; pid nginx.pid;' -e stderr",
  },
  haproxy: { language: "haproxy", file: "haproxy.cfg", command: "exec haproxy -db -f haproxy.cfg" },
  caddy: {
    language: "caddyfile",
    file: "Caddyfile",
    command:
      "export XDG_DATA_HOME=. XDG_CONFIG_HOME=. && exec caddy run --config Caddyfile --adapter caddyfile",
  },
};

function fenceOf(language: string): Fence {
  const [fence, ...more] = FENCES.filter((each) => each.language === language);
  if (fence === undefined || more.length > 0) throw new Error(`not one block of ${language}`);
  return fence;
}

class Rig {
  readonly directory: string;
  readonly #stage: Stage;
  readonly #node1: PrivateHost;
  readonly #node2: PrivateHost;
  readonly #balancer: PrivateHost;
  readonly #client: PrivateHost;

  private constructor(
    stage: Stage,
    directory: string,
    [node1, node2, balancer, client]: readonly [PrivateHost, PrivateHost, PrivateHost, PrivateHost],
  ) {
    this.#stage = stage;
    this.directory = directory;
    this.#node1 = node1;
    this.#node2 = node2;
    this.#balancer = balancer;
    this.#client = client;
  }

  static async open(stage: Stage): Promise<Rig | undefined> {
    const hosts = await createHosts(stage, ["10.0.0.1", "10.0.0.2", "10.0.0.10", "10.0.0.20"]);
    if (hosts === undefined) return undefined;
    const rig = new Rig(stage, await stage.directory(), hosts);
    const names = [...NAMES, "piko-agents.example.com"].map((name) => `10.0.0.10 ${name}\n`);
    writeFileSync(join(rig.directory, "hosts"), `127.0.0.1 localhost\n${names.join("")}`);
    writeFileSync(join(rig.directory, "server.yaml"), `${fenceOf("yaml").text}\n`);
    // The page's last block creates the certificate.
    for (const command of commandsOf(FENCES.at(-1) as Fence)) {
      expect(await hosts[0].run(`cd ${rig.directory} && ${command}`)).toMatchObject({ code: 0 });
    }
    return rig;
  }

  /** A command on the client's host, where the page's names resolve to the load balancer. */
  #named(command: string): string {
    const within = `cd ${this.directory} && mount --bind hosts /etc/hosts && exec ${command}`;
    return `sh -c ${JSON.stringify(within)}`;
  }

  async startNodes(): Promise<Program> {
    const start = async (host: PrivateHost): Promise<Program> => {
      const server = `${PIKO} server --config.path ${this.directory}/server.yaml --drain-window 1s --log.format json`;
      const program = host.start(this.#stage, `server on ${host.address}`, server);
      await program.waitFor("server started", { ms: 60_000 });
      // Otherwise the load balancer's health checks would report a node that is still joining.
      await eventually(
        async () => (await host.run("curl -sf http://localhost:8002/ready")).code === 0,
        `a ready node at ${host.address}`,
      );
      return program;
    };
    const [, second] = await Promise.all([start(this.#node1), start(this.#node2)]);
    return second;
  }

  async startBalancer({ language, file, command }: BalancerProgram): Promise<Program> {
    const text = fenceOf(language).text.replaceAll("/etc/piko", this.directory);
    writeFileSync(join(this.directory, file), `${text}\n`);
    const within = `cd ${this.directory} && ${command}`;
    const program = this.#balancer.start(this.#stage, file, `sh -c ${JSON.stringify(within)}`);
    await eventually(
      async () => (await this.#client.run("curl -skm 5 -o /dev/null https://10.0.0.10/")).code !== 7,
      `a port that ${file} has open`,
      20_000,
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${program.tail()}`);
    });
    return program;
  }

  async startClients(): Promise<void> {
    writeFileSync(
      join(this.directory, "agent.yaml"),
      `listeners:
  - {endpoint_id: my-endpoint, addr: 3000}
  - {endpoint_id: greeter, addr: 50051, protocol: grpc}
  - {endpoint_id: echo, addr: 7000, protocol: tcp}
connect: {url: "https://piko-agents.example.com", tls: {root_cas: ca.pem}}
`,
    );
    const start = (name: string, command: string): Program =>
      this.#client.start(this.#stage, name, this.#named(command));
    await start("service", `node ${FOLDER}/service.mjs`).waitFor("listening");
    const agent = start("agent", `${PIKO} agent start --config.path agent.yaml --log.format json`);
    // Tunnels to two nodes for each of three endpoints.
    await eventually(
      () =>
        agent.lines.filter(({ text }) => text.includes('"connected"') && text.includes("2 of 2")).length >= 3,
      "two tunnels of each endpoint",
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}\n${agent.tail()}`);
    });
    const forwarder = `${PIKO} forward tcp 7001 echo --connect.url https://piko.example.com --connect.tls.root-cas ca.pem --log.format json`;
    await start("forwarder", forwarder).waitFor("listening");
  }

  async everyKind(): Promise<unknown> {
    const { code, stdout, stderr } = await this.#client.run(
      this.#named(`node ${FOLDER}/client.mjs ca.pem ${SILENCE_MS}`),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return JSON.parse(stdout);
  }

  /** Sends requests one after the other until the node has exited; returns their statuses. */
  async statusesUntilEnd(node: Program): Promise<Set<string>> {
    const statuses = new Set<string>();
    const curl = this.#named(
      "curl -sSm 10 -o /dev/null -w %{http_code} --cacert ca.pem https://my-endpoint.piko.example.com/",
    );
    while (node.exit === undefined) {
      const { stdout, stderr } = await this.#client.run(curl);
      statuses.add(`${stdout}${stderr}`);
    }
    return statuses;
  }
}

async function check(stage: Stage, program: BalancerProgram): Promise<void> {
  const rig = await Rig.open(stage);
  if (rig === undefined) return;
  const second = await rig.startNodes();
  const balancer = await rig.startBalancer(program);
  await rig.startClients();

  const fields = {
    host: "my-endpoint.piko.example.com",
    "x-forwarded-for": "10.0.0.20, 10.0.0.10",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "my-endpoint.piko.example.com",
  };
  expect(await rig.everyKind()).toEqual({
    fields: expect.objectContaining(fields),
    fieldsByHttp2: expect.objectContaining(fields),
    firstEvent: "data: first",
    talk: ["one", "two"],
    upload: true,
    webSocket: ["one", "two"],
    grpc: { echoes: ["one", "two"], code: 0 },
    tcp: ["one", "two"],
  });

  // Caddy logs an error when the client disconnects from its event stream.
  const complaint =
    /\[(?:warn|error|alert|emerg|WARNING|ALERT)\]|"level":"error"(?!.*aborting with incomplete)/;
  expect(balancer.lines.map(({ text }) => text).filter((text) => complaint.test(text))).toEqual([]);

  second.signal("SIGTERM");
  expect(await rig.statusesUntilEnd(second)).toEqual(new Set(["200"]));
}

describe.concurrent("the page on load balancers", () => {
  for (const [name, program] of Object.entries(PROGRAMS)) {
    it.runIf(haveTools(name, "ip", "openssl", "curl"))(
      `has a working configuration for ${name}`,
      async () => {
        const stage = new Stage();
        try {
          await check(stage, program);
        } finally {
          await stage.clear();
        }
      },
    );
  }
});
