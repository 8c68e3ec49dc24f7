import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { expect, it } from "vitest";
import { OpenConnections } from "./open-connections.js";

class TestSocket extends EventEmitter {
  busy = false;
  destroyed = false;

  destroy(): void {
    this.destroyed = true;
    this.emit("close");
  }
}

function create(max: number, count: number) {
  let hits = 0;
  const open = new OpenConnections(
    max,
    (socket) => (socket as unknown as TestSocket).busy,
    () => void hits++,
  );
  const sockets = Array.from({ length: count }, () => new TestSocket());
  const add = (socket: TestSocket): void => open.add(socket as unknown as Socket);
  return { open, sockets, add, hits: () => hits, cut: () => sockets.map(({ destroyed }) => destroyed) };
}

it("closes the oldest connection to make room for a new one", () => {
  const { add, cut, hits, open, sockets } = create(3, 5);
  for (const socket of sockets) add(socket);
  expect(cut()).toEqual([true, true, false, false, false]);
  expect([open.count, hits()]).toEqual([3, 2]);
});

it("closes a connection below its own limit if files run out", () => {
  const { cut, hits, open, sockets } = create(5, 3);
  for (const socket of sockets)
    open.add(socket as unknown as Socket, socket === sockets[0] || socket === sockets[2]);
  // The first socket had no other one to replace.
  expect(cut()).toEqual([true, false, false]);
  expect([open.count, hits()]).toEqual([2, 1]);
});

it("closes a connection with a request in progress last", () => {
  const { add, cut, sockets } = create(2, 4);
  const [first, second, third, fourth] = sockets as [TestSocket, TestSocket, TestSocket, TestSocket];
  first.busy = true;
  for (const socket of [first, second, third]) add(socket);
  expect(cut()).toEqual([false, true, false, false]);
  third.busy = true;
  add(fourth);
  expect(cut()).toEqual([true, true, false, false]);
});

it("forgets connections that have ended", () => {
  const { add, cut, hits, open, sockets } = create(2, 3);
  const [first, second, third] = sockets as [TestSocket, TestSocket, TestSocket];
  add(first);
  add(second);
  first.destroy();
  add(third);
  expect(cut()).toEqual([true, false, false]);
  expect([open.count, hits()]).toEqual([2, 0]);
});
