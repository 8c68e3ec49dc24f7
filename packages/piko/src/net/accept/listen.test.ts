import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { expect, it } from "vitest";
import { listen } from "./listen.js";

it("continues to listen after a connection can't be accepted", async () => {
  const server = createServer((socket) => socket.end());
  const { port } = await listen(server, "test", { host: "127.0.0.1", port: 0 });
  server.emit("error", Object.assign(new Error("accept ENETDOWN"), { code: "ENETDOWN" }));
  const socket = connect(port, "127.0.0.1").resume();
  await once(socket, "close");
  server.close();
});

it("names the port and the address in an error", async () => {
  const first = createServer();
  const address = await listen(first, "test", { host: "127.0.0.1", port: 0 });
  expect(address).toEqual({ host: "127.0.0.1", port: (first.address() as AddressInfo).port });
  await expect(listen(createServer(), "second", address)).rejects.toThrow(
    `second listen: 127.0.0.1:${address.port}: address already in use`,
  );
  await expect(listen(createServer(), "proxy", address)).rejects.toThrow(
    `proxy listen: 127.0.0.1:${address.port}: address already in use: by another piko? --proxy.bind-addr (proxy.bind_addr) chooses another`,
  );
  first.close();
});
