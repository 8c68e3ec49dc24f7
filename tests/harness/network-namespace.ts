// A separate network for some of the programs, so that they can vanish from the machine's network silently.

import { haveTools, run } from "./tools.js";
import type { Stage } from "./stage.js";

let created = 0;

/** A namespace with one cable to the machine's own network. */
export class NetworkNamespace {
  readonly name: string;
  /** The machine's address on the cable. */
  readonly host: string;
  /** The namespace's address on the cable. */
  readonly guest: string;

  private constructor(name: string, host: string, guest: string) {
    this.name = name;
    this.host = host;
    this.guest = guest;
  }

  /**
   * Creates a namespace that is removed with the stage. If the test lacks the privileges, the result is undefined and a
   * message is written to stderr.
   */
  static async create(stage: Stage): Promise<NetworkNamespace | undefined> {
    if (!haveTools("ip")) return undefined;
    const id = `${process.pid % 100_000}-${created++}`;
    const [name, cable, end] = [`piko-${id}`, `pk${id}a`, `pk${id}b`];
    // Specific to this process: other processes may run tests on this machine at the same time.
    const subnet = `10.${160 + ((process.pid >> 8) % 64)}.${process.pid % 256}`;
    const [host, guest] = [`${subnet}.${created * 4 + 1}`, `${subnet}.${created * 4 + 2}`];
    const added = await run("ip", ["netns", "add", name]);
    if (added.code !== 0) {
      process.stderr.write(`skipped: no network namespace: ${added.stderr}`);
      return undefined;
    }
    stage.defer(async () => {
      // If it weren't deleted here, the cable would stay until the namespace's last connection has timed out.
      await run("ip", ["link", "delete", cable]);
      await run("ip", ["netns", "delete", name]);
    });
    const steps = [
      ["link", "add", cable, "type", "veth", "peer", "name", end, "netns", name],
      ["address", "add", `${host}/30`, "dev", cable],
      ["link", "set", cable, "up"],
      ["-n", name, "address", "add", `${guest}/30`, "dev", end],
      ["-n", name, "link", "set", end, "up"],
      ["-n", name, "link", "set", "lo", "up"],
    ];
    for (const step of steps) {
      const { code, stderr } = await run("ip", step);
      if (code !== 0) throw new Error(`ip ${step.join(" ")}: ${stderr}`);
    }
    return new NetworkNamespace(name, host, guest);
  }

  /** The command and arguments that run a program inside. */
  command(program: string, args: readonly string[]): [string, string[]] {
    return ["ip", ["netns", "exec", this.name, program, ...args]];
  }

  /** Drops everything that leaves the namespace, even answers. Packets can still come in. */
  async silence(): Promise<void> {
    await run("ip", ["-n", this.name, "route", "add", "blackhole", `${this.host}/32`]);
  }
}
