// The ways in which a connection can reach a service. Each is opened by one call that returns both ends.

import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { dial, forward } from "@piko/client";
import { startCluster } from "./cluster.js";
import { ConnectionEnd } from "./connection-end.js";
import { within } from "./deadline.js";
import { type RunningServer, startAgent } from "./piko.js";
import { startRawService } from "./raw-service.js";
import type { Stage } from "./stage.js";

const CLIENT_SEED = 11;
const SERVICE_SEED = 22;

/** Both ends of a connection. */
export interface Ends {
  readonly client: ConnectionEnd;
  readonly service: ConnectionEnd;
}

/** A service whose side of each connection is driven by the test, one connection at a time. */
export class ScriptedService {
  readonly addr: string;
  readonly #taken: Socket[];
  #wake: () => void = () => {};

  private constructor(addr: string, taken: Socket[]) {
    this.addr = addr;
    this.#taken = taken;
  }

  /** `upgrades`: whether it answers an upgrade request before it hands over the connection. */
  static async start(stage: Stage, upgrades: boolean): Promise<ScriptedService> {
    const taken: Socket[] = [];
    const { addr } = await startRawService(stage, (socket) => {
      const take = (): void => {
        taken.push(socket.pause());
        scripted.#wake();
      };
      if (upgrades) void readHead(socket).then(() => socket.write(SWITCH, take));
      else take();
    });
    const scripted = new ScriptedService(addr, taken);
    return scripted;
  }

  /** The next connection. */
  async next(): Promise<Socket> {
    for (;;) {
      const socket = this.#taken.shift();
      if (socket !== undefined) return socket;
      await within(new Promise<void>((resolve) => (this.#wake = resolve)), "connection at the service");
    }
  }
}

const SWITCH = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n";

/** Opens a connection to a local port. */
export async function openTcp(stage: Stage, addr: string, service: ScriptedService): Promise<Ends> {
  return ends(await connectTo(stage, addr), service);
}

/** Opens a connection with the SDK. */
export async function openByDial(
  stage: Stage,
  proxy: string,
  endpoint: string,
  service: ScriptedService,
): Promise<Ends> {
  const client = await dial(endpoint, { url: `http://${proxy}`, allowHalfOpen: true });
  stage.defer(() => void client.destroy());
  return ends(client, service);
}

/** Opens a connection by an HTTP upgrade. */
export async function openByUpgrade(
  stage: Stage,
  proxy: string,
  endpoint: string,
  service: ScriptedService,
): Promise<Ends> {
  const client = await connectTo(stage, proxy);
  client.write(
    `GET / HTTP/1.1\r\nHost: h\r\nx-piko-endpoint: ${endpoint}\r\nConnection: Upgrade\r\nUpgrade: test\r\n\r\n`,
  );
  const head = await within(readHead(client), "101");
  if (!head.startsWith("HTTP/1.1 101 ")) throw new Error(head);
  return ends(client, service);
}

/** Listens on an endpoint with the SDK's `forward`. */
export async function listenBySdk(
  stage: Stage,
  upstream: string,
  endpoint: string,
  addr: string,
): Promise<void> {
  const listener = await forward(endpoint, addr, { url: `http://${upstream}` });
  stage.defer(() => listener.close({ graceMs: 0 }));
}

/** The services, and the nodes that lead to them. The endpoints are on the first node, by an agent or by the SDK. */
export interface Destinations {
  readonly nodes: readonly [RunningServer, RunningServer];
  readonly tcp: ScriptedService;
  readonly http: ScriptedService;
}

/** Starts two nodes, with the endpoints `tcp`, `http` and `sdk` (whose service is that of `tcp`) on the first. */
export async function startDestinations(stage: Stage, ids: readonly [string, string]): Promise<Destinations> {
  const tcp = await ScriptedService.start(stage, false);
  const http = await ScriptedService.start(stage, true);
  const nodes = await startCluster(stage, ids);
  const { upstream } = nodes[0];
  await startAgent(stage, upstream, "tcp", tcp.addr, { mode: "tcp" });
  await startAgent(stage, upstream, "http", http.addr);
  await listenBySdk(stage, upstream, "sdk", tcp.addr);
  return { nodes, tcp, http };
}

async function ends(client: ConnectionEnd["stream"], service: ScriptedService): Promise<Ends> {
  const socket = await service.next();
  return {
    client: new ConnectionEnd(client, CLIENT_SEED, SERVICE_SEED),
    service: new ConnectionEnd(socket, SERVICE_SEED, CLIENT_SEED),
  };
}

async function connectTo(stage: Stage, addr: string): Promise<Socket> {
  const [host, port] = addr.split(":");
  const socket = connect({ host, port: Number(port), allowHalfOpen: true, noDelay: true });
  stage.defer(() => void socket.destroy());
  socket.on("error", () => {});
  await within(once(socket, "connect"), `connection to ${addr}`);
  return socket;
}

/** Reads a head, leaves the bytes after it in the socket, and pauses the socket. */
async function readHead(socket: Socket): Promise<string> {
  let bytes = Buffer.alloc(0);
  for (;;) {
    const [piece] = (await once(socket, "data")) as [Buffer];
    socket.pause();
    bytes = Buffer.concat([bytes, piece]);
    const end = bytes.indexOf("\r\n\r\n");
    if (end >= 0) {
      if (bytes.length > end + 4) socket.unshift(bytes.subarray(end + 4));
      return bytes.toString("latin1", 0, end + 4);
    }
    socket.resume();
  }
}
