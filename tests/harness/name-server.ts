// A real DNS server, dnsmasq, on a host of its own.

import { Resolver } from "node:dns/promises";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { eventually } from "./deadline.js";
import type { LabHost } from "./network-lab.js";
import { type Program, startProgram } from "./program.js";
import type { Stage } from "./stage.js";
import { haveTools } from "./tools.js";

/** Whether a DNS server is installed. */
export const haveNameServer: boolean = haveTools("dnsmasq");

const SEARCH = ["prod.svc.cluster.local", "svc.cluster.local", "cluster.local"];

/** Its records can change while it runs. Names without records don't exist. */
export class NameServer {
  readonly program: Program;
  readonly #host: LabHost;
  readonly #path: string;
  #generation = 0;

  private constructor(program: Program, host: LabHost, path: string) {
    this.program = program;
    this.#host = host;
    this.#path = path;
  }

  static async start(stage: Stage, host: LabHost): Promise<NameServer> {
    const path = join(await stage.directory(), "hosts");
    await writeFile(path, "");
    const flags = ["--no-daemon", "--no-resolv", "--no-hosts", `--addn-hosts=${path}`, "--local-ttl=0"];
    // It is authoritative for these zones, and refuses all other names, as in a cluster without access to the Internet.
    const zones = ["--local=/cluster.local/", "--local=/invalid/"];
    const command = host.command("dnsmasq", ["--user=root", "--log-queries", ...flags, ...zones]);
    const program = startProgram(stage, "dnsmasq", ...command);
    const server = new NameServer(program, host, path);
    await server.set({});
    return server;
  }

  /** Makes a host use this server, with the search list of a pod in Kubernetes. */
  async serve(host: LabHost, family: "ipv4" | "ipv6" = "ipv4"): Promise<void> {
    await host.nameServer(this.#host[family], SEARCH);
  }

  /** Replaces all records; returns when they are served. */
  async set(records: Readonly<Record<string, readonly string[]>>): Promise<void> {
    const mark = `generation-${++this.#generation}.cluster.local`;
    const lines = Object.entries(records).flatMap(([name, ips]) => ips.map((each) => `${each} ${name}`));
    await writeFile(this.#path, [`127.0.0.1 ${mark}`, ...lines, ""].join("\n"));
    await eventually(async () => {
      // A signal that arrives while it starts would terminate it.
      if (this.program.lines.some(({ text }) => text.includes("started, version")))
        this.program.signal("SIGHUP");
      const resolver = new Resolver({ timeout: 500, tries: 1 });
      resolver.setServers([this.#host.ipv4]);
      return resolver.resolve4(mark).then(
        () => true,
        () => false,
      );
    }, `records of generation ${this.#generation}`);
  }
}
