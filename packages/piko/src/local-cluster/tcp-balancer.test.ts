import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import type { HostPort } from "../base/address.js";
import { TcpBalancer } from "./tcp-balancer.js";

const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

async function startTarget(onSocket: (socket: Socket) => void): Promise<HostPort> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on("error", () => {}));
    onSocket(socket);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUps.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

/** An address on which nothing listens. */
async function closedTarget(): Promise<HostPort> {
  const target = await startTarget(() => {});
  cleanUps.pop()?.();
  return target;
}

async function startBalancer(
  targets: readonly HostPort[],
  random: () => number = Math.random,
): Promise<TcpBalancer & { port: number }> {
  const balancer = new TcpBalancer({ name: "balancer", targets: () => targets, random });
  cleanUps.push(() => balancer.close());
  const { port } = await balancer.listen({ host: "127.0.0.1", port: 0 });
  return Object.assign(balancer, { port });
}

function open(port: number): Socket {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  cleanUps.push(() => socket.destroy());
  return socket;
}

describe("a load balancer", () => {
  it("passes bytes in both directions, even after one has ended", async () => {
    const target = await startTarget((socket) => {
      let asked = "";
      socket.on("data", (bytes: Buffer) => (asked += String(bytes)));
      socket.on("end", () => socket.end(`you said ${asked}`));
    });
    const client = open((await startBalancer([target])).port);
    client.end("hello");
    expect(await text(client)).toBe("you said hello");
  });

  it("chooses at random", async () => {
    const seen: string[] = [];
    const targets = await Promise.all(
      ["a", "b"].map((name) => startTarget((socket) => void socket.end(name))),
    );
    let chance = 0;
    const { port } = await startBalancer(targets, () => chance);
    for (chance of [0, 0.99, 0]) seen.push(await text(open(port)));
    expect(new Set(seen)).toEqual(new Set(["a", "b"]));
    expect(seen[0]).toBe(seen[2]);
  });

  it("skips targets on which nothing listens", async () => {
    const target = await startTarget((socket) => void socket.end("here"));
    const { port } = await startBalancer([await closedTarget(), target, await closedTarget()]);
    for (let i = 0; i < 5; i++) expect(await text(open(port))).toBe("here");
  });

  it("resets clients if there is no target", async () => {
    const client = open((await startBalancer([await closedTarget()])).port);
    const [error] = (await once(client, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ECONNRESET");
  });

  it("passes a reset of one side on to the other", async () => {
    let reset = (): void => {};
    const target = await startTarget((socket) => {
      reset = () => socket.resetAndDestroy();
      socket.write("x");
    });
    const client = open((await startBalancer([target])).port);
    await once(client, "data");
    reset();
    const [error] = (await once(client, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ECONNRESET");
  });

  it("keeps open connections when it accepts no more", async () => {
    const target = await startTarget((socket) => void socket.pipe(socket));
    const balancer = await startBalancer([target]);
    const client = open(balancer.port);
    client.write("1");
    await once(client, "data");
    balancer.stopAccepting();
    const late = open(balancer.port);
    const [error] = (await once(late, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("ECONNREFUSED");
    client.write("2");
    expect(String((await once(client, "data"))[0])).toBe("2");
  });
});
