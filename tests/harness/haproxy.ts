// haproxy as a TCP load balancer in front of the nodes' upstream ports, configured as usual: it checks `/ready`, and is
// informed through its socket when a node has been replaced.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { RunningServer } from "./piko.js";
import type { Stage } from "./stage.js";

/** The algorithm that chooses a node for a connection. */
export type Balance = "leastconn" | "random" | "roundrobin";

export class Haproxy {
  /** The address that agents connect to. */
  readonly upstream: string;
  readonly #socket: string;

  private constructor(upstream: string, socket: string) {
    this.upstream = upstream;
    this.#socket = socket;
  }

  /** Starts haproxy in front of these nodes; their positions are the places for `replace`. */
  static async start(stage: Stage, balance: Balance, nodes: readonly RunningServer[]): Promise<Haproxy> {
    // It inherits its listening socket from here, so that the system chooses the port.
    const listener = createServer();
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const { port } = listener.address() as AddressInfo;
    const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
    const directory = await stage.directory();
    const socket = join(directory, "haproxy.sock");
    const path = join(directory, "haproxy.cfg");
    await writeFile(path, configuration(balance, nodes, socket));
    const haproxy = spawn("haproxy", ["-db", "-f", path], { stdio: ["ignore", "ignore", "ignore", fd] });
    const ended = once(haproxy, "exit");
    stage.defer(async () => {
      haproxy.kill("SIGKILL");
      await ended;
    });
    const proxy = new Haproxy(`127.0.0.1:${port}`, socket);
    while (!(await proxy.#isUp(nodes.length))) {
      if (haproxy.exitCode !== null) throw new Error(`haproxy ended with ${haproxy.exitCode}`);
      await new Promise((resolve) => void setTimeout(resolve, 50));
    }
    listener.close();
    return proxy;
  }

  /** Puts another node into a place. */
  async replace(place: number, node: RunningServer): Promise<void> {
    const port = node.upstream.split(":")[1];
    await this.#command(`set server nodes/n${place} addr 127.0.0.1 port ${port}`);
    await this.#command(`set server nodes/n${place} check-port ${node.admin.split(":")[1]}`);
  }

  async #isUp(count: number): Promise<boolean> {
    const stat = await this.#command("show stat").catch(() => "");
    return (
      stat.split("\n").filter((line) => /^nodes,n\d/.test(line) && line.includes(",UP,")).length === count
    );
  }

  async #command(command: string): Promise<string> {
    const connection = connect(this.#socket);
    connection.end(`${command}\n`);
    return await text(connection);
  }
}

function configuration(balance: Balance, nodes: readonly RunningServer[], socket: string): string {
  const servers = nodes.map(
    ({ admin, upstream }, i) =>
      `  server n${i} ${upstream} check port ${admin.split(":")[1]} inter 200ms fall 1 rise 1`,
  );
  return [
    "global",
    `  stats socket ${socket} level admin`,
    "defaults",
    "  mode tcp",
    "  timeout connect 5s",
    "  timeout client 1h",
    "  timeout server 1h",
    "frontend agents",
    "  bind fd@3",
    "  default_backend nodes",
    "backend nodes",
    `  balance ${balance}`,
    "  option httpchk GET /ready",
    ...servers,
    "",
  ].join("\n");
}
