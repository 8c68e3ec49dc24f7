import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { defer, piko, tcpService } from "../test/per-test.js";
import { collect, destroyed } from "../test/streams.js";
import { dial } from "./dial.js";
import { forward } from "./forward.js";

describe("forward", () => {
  it("brings connections to a TCP service, half-closes included", async () => {
    const { url } = await piko();
    const port = await tcpService((socket) => {
      void collect(socket).then((question) => socket.end(String(question).toUpperCase()));
    });
    for (const address of [port, `${port}`, `127.0.0.1:${port}`]) {
      const listener = await forward("e", address, { url });
      const client = await dial("e", { url, allowHalfOpen: true });
      client.end("x".repeat(1_000_000));
      expect(String(await collect(client))).toBe("X".repeat(1_000_000));
      await listener.close();
    }
  });

  it("gives an HTTP service the host that it asks for", async () => {
    const { url } = await piko();
    const port = await tcpService((socket) => void collect(socket).then((request) => socket.end(request)));
    const heads: string[] = [];
    for (const hostHeader of ["rewrite", "app.test:81", undefined]) {
      const listener = await forward("e", port, { url, hostHeader });
      const client = await dial("e", { url, allowHalfOpen: true });
      client.write("GET / HTTP/1.1\r\nHost: public");
      client.end(".example.com\r\n\r\n");
      heads.push(String(await collect(client)).split("\r\n")[1] ?? "");
      await listener.close();
    }
    expect(heads).toEqual([`Host: localhost:${port}`, "Host: app.test:81", "Host: public.example.com"]);
    await expect(forward("e", port, { url, hostHeader: "http://a" })).rejects.toMatchObject({
      code: "PIKO_CLIENT_BAD_OPTION",
    });
  });

  it("resets both sides when one is cut", async () => {
    const { url } = await piko();
    let cut: (error: unknown) => void = () => {};
    const seen = new Promise((resolve) => {
      cut = resolve;
    });
    const port = await tcpService((socket) => {
      socket.once("error", cut);
      socket.on("data", (data: Buffer) => {
        if (data.includes("cut")) socket.resetAndDestroy();
        else socket.write(data);
      });
    });
    const listener = await forward("e", port, { url });
    defer(() => listener.close({ graceMs: 0 }));
    const cutByService = await dial("e", { url });
    cutByService.resume().write("cut");
    expect(await destroyed(cutByService)).toMatchObject({ code: "PIKO_CLIENT_RESET" });
    const cutByClient = await dial("e", { url });
    cutByClient.write("hold on");
    await once(cutByClient, "data");
    cutByClient.destroy();
    expect(await seen).toMatchObject({ code: "ECONNRESET" });
  });

  it("resets and logs when the service isn't there", async () => {
    const { url } = await piko();
    const warnings: unknown[] = [];
    const logger = { debug() {}, info() {}, error() {}, warn: (message: string) => warnings.push(message) };
    const listener = await forward("e", "127.0.0.1:1", { url, logger });
    defer(() => listener.close({ graceMs: 0 }));
    const client = await dial("e", { url });
    client.resume();
    expect(await destroyed(client)).toMatchObject({ code: "PIKO_CLIENT_RESET" });
    expect(warnings).toEqual(["failed to connect to service"]);
  });

  it.each([0, 65_536, "", "host", "host:", "host:port", "http://host:1", ":::1", "[::1]"])(
    "refuses the address %j",
    async (address) => {
      await expect(forward("e", address)).rejects.toMatchObject({ code: "PIKO_CLIENT_BAD_OPTION" });
    },
  );
});

describe("forward, to a service that answers and closes with bytes unread", () => {
  it("passes the answer on", async () => {
    const { url } = await piko();
    const port = await tcpService((socket) => {
      socket.once("data", () => {
        socket.pause();
        socket.write("554 no\r\n", () => socket.destroy());
      });
    });
    const listener = await forward("e", port, { url });
    defer(() => listener.close({ graceMs: 0 }));
    const answers = new Map<string, number>();
    for (let i = 0; i < 40; i++) {
      const client = await dial("e", { url });
      let answer = "";
      client.on("data", (bytes: Buffer) => (answer += bytes.toString()));
      client.write("x".repeat(1_000_000));
      await destroyed(client);
      answers.set(answer, (answers.get(answer) ?? 0) + 1);
    }
    expect([...answers]).toEqual([["554 no\r\n", 40]]);
  });
});
