// A network of hosts, each a network namespace with its own addresses, names and firewall, on one switch to which this
// process is connected, too. Programs on the hosts use their default ports.

import { mkdir, rm, writeFile } from "node:fs/promises";
import type { Stage } from "./stage.js";
import { haveTools, run } from "./tools.js";

let created = 0;

/** Whether a lab can be created. If not, the reason is written to stderr, and in CI this throws. */
export async function haveNetworkLab(): Promise<boolean> {
  if (!haveTools("ip", "iptables", "ip6tables")) return false;
  const name = `pikolab-${process.pid.toString(36)}`;
  const { code, stderr } = await run("ip", ["netns", "add", name]);
  await run("ip", ["netns", "delete", name]);
  if (code === 0) return true;
  const reason = `no network namespaces: ${stderr.trim()}`;
  if (process.env["CI"] === "true") throw new Error(reason);
  process.stderr.write(`skipped: ${reason}\n`);
  return false;
}

/** Which addresses a host has. */
export type Families = "ipv4" | "ipv6" | "both";

/** The switch and the hosts on it. */
export class NetworkLab {
  readonly #stage: Stage;
  /** Part of every name, so that concurrent labs don't conflict. */
  readonly #id: string;
  readonly #net4: string;
  readonly #net6: string;
  #hosts = 0;

  private constructor(stage: Stage, id: string, net4: string, net6: string) {
    this.#stage = stage;
    this.#id = id;
    this.#net4 = net4;
    this.#net6 = net6;
  }

  /** Creates a lab that is removed with the stage. */
  static async create(stage: Stage): Promise<NetworkLab> {
    const id = `${process.pid.toString(36)}x${(created++).toString(36)}`;
    const number = await freeSubnet();
    const net4 = `10.${240 + (number >> 8)}.${number & 255}`;
    const net6 = `fd00:7069:6b6f:${number.toString(16)}`;
    const bridge = `pkl${id}`;
    await ip(`link add ${bridge} type bridge`);
    stage.defer(async () => {
      await run("ip", ["link", "delete", bridge]);
    });
    await ip(`address add ${net4}.1/24 dev ${bridge}`);
    await ip(`address add ${net6}::1/64 dev ${bridge} nodad`);
    await ip(`link set ${bridge} up`);
    return new NetworkLab(stage, id, net4, net6);
  }

  /** Adds a host. */
  async host(families: Families = "both"): Promise<LabHost> {
    const number = ++this.#hosts + 1;
    const name = `pikolab-${this.#id}-${number}`;
    const cable = `pkc${this.#id}${number}`;
    const host = new LabHost(name, this.address4(number), this.address6(number), families);
    await ip(`netns add ${name}`);
    this.#stage.defer(async () => {
      // If it weren't deleted here, the cable would stay until the namespace's last connection has timed out.
      await run("ip", ["link", "delete", cable]);
      await run("ip", ["netns", "delete", name]);
      await rm(host.etc, { recursive: true, force: true });
    });
    await ip(`link add ${cable} type veth peer name eth0 netns ${name}`);
    await ip(`link set ${cable} master pkl${this.#id} up`);
    await ip(`-n ${name} link set lo up`);
    if (families !== "ipv6") await ip(`-n ${name} address add ${host.ipv4}/24 dev eth0`);
    if (families !== "ipv4") await ip(`-n ${name} address add ${host.ipv6}/64 dev eth0 nodad`);
    await ip(`-n ${name} link set eth0 up`);
    // Must exist before a program runs on the host, so that the program sees it instead of the machine's own
    // /etc/resolv.conf.
    await mkdir(host.etc, { recursive: true });
    await writeFile(`${host.etc}/resolv.conf`, "");
    return host;
  }

  /** Adds a host in a network of its own behind another one: its connections have that host's address (source NAT). */
  async hostBehind(router: LabHost): Promise<LabHost> {
    const number = ++this.#hosts + 1;
    const name = `pikolab-${this.#id}-${number}`;
    const net = `192.168.${number}`;
    const inside = `in${number}`;
    const host = new LabHost(name, `${net}.2`, "", "ipv4");
    await ip(`netns add ${name}`);
    this.#stage.defer(async () => {
      await run("ip", ["netns", "delete", name]);
    });
    await ip(`-n ${router.name} link add ${inside} type veth peer name eth0 netns ${name}`);
    await ip(`-n ${router.name} address add ${net}.1/24 dev ${inside}`);
    await ip(`-n ${router.name} link set ${inside} up`);
    await ip(`-n ${name} address add ${host.ipv4}/24 dev eth0`);
    await ip(`-n ${name} link set lo up`);
    await ip(`-n ${name} link set eth0 up`);
    await ip(`-n ${name} route add default via ${net}.1`);
    await router.route(`${net}.0/24`);
    return host;
  }

  /** Address number `number` of the network; number 1 is this process. */
  address4(number: number): string {
    return `${this.#net4}.${number}`;
  }

  address6(number: number): string {
    return `${this.#net6}::${number.toString(16)}`;
  }
}

/** One host. */
export class LabHost {
  readonly name: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** The address that is normally used: IPv4 if the host has one. */
  readonly main: string;

  constructor(name: string, ipv4: string, ipv6: string, families: Families) {
    this.name = name;
    this.ipv4 = ipv4;
    this.ipv6 = ipv6;
    this.main = families === "ipv6" ? ipv6 : ipv4;
  }

  /** Directory with the files that programs on this host see in /etc. */
  get etc(): string {
    return `/etc/netns/${this.name}`;
  }

  /** The command and arguments that run a program on this host; the program replaces the `ip` process. */
  command(program: string, args: readonly string[]): [string, string[]] {
    return ["ip", ["netns", "exec", this.name, program, ...args]];
  }

  /** Sets the host's name server and search list. */
  async nameServer(address: string, search: readonly string[]): Promise<void> {
    await writeFile(
      `${this.etc}/resolv.conf`,
      `nameserver ${address}\nsearch ${search.join(" ")}\noptions ndots:5\n`,
    );
  }

  /** Drops everything that arrives from these hosts. Packets to them still go out: use it on both sides for a partition. */
  async dropPacketsFrom(hosts: readonly LabHost[]): Promise<void> {
    for (const { ipv4, ipv6 } of hosts) {
      await this.#filter("iptables", `-A INPUT -s ${ipv4} -j DROP`);
      await this.#filter("ip6tables", `-A INPUT -s ${ipv6} -j DROP`);
    }
  }

  /** Drops a fraction (0 to 1) of all incoming packets. */
  async lose(part: number): Promise<void> {
    const rule = `-A INPUT -i eth0 -m statistic --mode random --probability ${part} -j DROP`;
    for (const tool of ["iptables", "ip6tables"]) await this.#filter(tool, rule);
  }

  /** Drops everything in both directions, silently. */
  async vanish(): Promise<void> {
    for (const tool of ["iptables", "ip6tables"]) {
      await this.#filter(tool, "-A INPUT -i eth0 -j DROP");
      await this.#filter(tool, "-A OUTPUT -o eth0 -j DROP");
    }
  }

  /** Forwards packets from a network behind this host, with its own address as their source. */
  async route(net: string): Promise<void> {
    const forwards = await run(...this.command("sh", ["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]));
    if (forwards.code !== 0) throw new Error(`ip_forward: ${forwards.stderr}`);
    await this.#filter("iptables", `-t nat -A POSTROUTING -s ${net} -o eth0 -j MASQUERADE`);
  }

  /** Undoes all losses and cuts. */
  async heal(): Promise<void> {
    for (const tool of ["iptables", "ip6tables"]) {
      await this.#filter(tool, "-F INPUT");
      await this.#filter(tool, "-F OUTPUT");
    }
  }

  async #filter(tool: string, rule: string): Promise<void> {
    const { code, stderr } = await run(...this.command(tool, ["-w", ...rule.split(" ")]));
    if (code !== 0) throw new Error(`${tool} ${rule}: ${stderr}`);
  }
}

/** Separates two groups of hosts from each other. */
export async function partition(a: readonly LabHost[], b: readonly LabHost[]): Promise<void> {
  await Promise.all([
    ...a.map((host) => host.dropPacketsFrom(b)),
    ...b.map((host) => host.dropPacketsFrom(a)),
  ]);
}

async function ip(command: string): Promise<string> {
  const { code, stdout, stderr } = await run("ip", command.split(" "));
  if (code !== 0) throw new Error(`ip ${command}: ${stderr}`);
  return stdout;
}

/** Number of a subnet that isn't in use on this machine, 0 to 4095. */
async function freeSubnet(): Promise<number> {
  const routes = await ip("-4 route show");
  for (let i = 0; i < 4_096; i++) {
    const number = (process.pid + 97 * (created + i)) % 4_096;
    if (!routes.includes(`10.${240 + (number >> 8)}.${number & 255}.0/24`)) return number;
  }
  throw new Error("no subnet is free");
}
