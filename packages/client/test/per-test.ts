// What a test sets up, and takes down in reverse order.

import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { TestServer } from "./test-server.js";

const cleanUps: (() => unknown)[] = [];

/** To be passed to `afterEach`. */
export async function tearDown(): Promise<void> {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
}

/** Registers something to be taken down after the test. */
export function defer(cleanUp: () => unknown): void {
  cleanUps.push(cleanUp);
}

/** A Piko server for this test. */
export async function piko(): Promise<TestServer> {
  const server = await TestServer.start();
  defer(() => server.close());
  return server;
}

/** Starts a TCP service for this test; returns its port. */
export async function tcpService(handle: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    handle(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  defer(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}
