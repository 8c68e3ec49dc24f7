// A relay in front of a node's gossip port that records what passes. Other nodes get its address instead of the node's own.

import { createSocket, type Socket as PacketSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Stage } from "./stage.js";

/** Forwards everything sent to a gossip port by UDP or TCP, and the answers over TCP. */
export class GossipRelay {
  /** The address to advertise. */
  readonly addr: string;
  /** Everything that passed through, oldest first. */
  readonly captured: Buffer[] = [];
  readonly packets: Buffer[] = [];
  /** The address to forward to, `host:port`. */
  target = "";

  private constructor(addr: string) {
    this.addr = addr;
  }

  static async start(stage: Stage): Promise<GossipRelay> {
    const sockets = new Set<Socket>();
    const keep = (socket: Socket): Socket => {
      sockets.add(socket);
      return socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    };
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const packets: PacketSocket = createSocket("udp4");
    packets.bind(port, "127.0.0.1");
    await once(packets, "listening");
    const relay = new GossipRelay(`127.0.0.1:${port}`);
    server.on("connection", (client: Socket) => {
      const node = keep(connect({ host: "127.0.0.1", port: relay.#targetPort, allowHalfOpen: true }));
      keep(client);
      for (const [from, to] of [
        [client, node],
        [node, client],
      ] as const) {
        from.on("data", (bytes: Buffer) => relay.captured.push(bytes));
        from.pipe(to);
        from.on("close", () => to.destroySoon());
      }
    });
    packets.on("message", (packet) => {
      relay.captured.push(packet);
      relay.packets.push(packet);
      if (relay.target !== "") packets.send(packet, relay.#targetPort, "127.0.0.1");
    });
    stage.defer(async () => {
      packets.close();
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    });
    return relay;
  }

  get #targetPort(): number {
    return Number(this.target.split(":")[1]);
  }
}
