// A real browser over HTTPS that trusts the authority, imported as a user would do it: a page, its requests, and a WebSocket.

import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { within } from "../harness/deadline.js";
import { MutualTls } from "../harness/mutual-tls.js";
import { startAgent, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { perTest } from "../harness/stage.js";
import { haveTools, run } from "../harness/tools.js";

const scene = perTest();

const PAGE = `<!doctype html><script>
  const socket = new WebSocket("wss://" + location.host + "/ws");
  socket.onopen = () => socket.send("hello");
  socket.onmessage = async ({ data }) => {
    const found = { socket: data, secure: isSecureContext, fetched: await (await fetch("/fetched")).text() };
    await fetch("/report", { method: "POST", body: JSON.stringify(found) });
  };
</script>`;

describe.runIf(haveTools("chromium", "certutil"))("a browser that trusts the authority", () => {
  it("loads a page over HTTPS, fetches from it, and opens a WebSocket", async () => {
    const tls = new MutualTls(scene);
    const names = "DNS:*.piko.test";
    const { cert, key } = tls.workshop.sign(tls.ca, "wildcard", { names });
    const server = await startServer(scene, { "proxy.tls.cert": cert, "proxy.tls.key": key });
    const page = createServer();
    const sockets = new WebSocketServer({ server: page });
    sockets.on("connection", (socket) =>
      socket.on("message", (message) => socket.send(`${String(message)} back`)),
    );
    const report = new Promise<string>((resolve) => {
      page.on("request", async (request, response) => {
        if (request.url === "/report") {
          let body = "";
          for await (const piece of request) body += String(piece);
          resolve(body);
          response.end();
        } else if (request.url === "/fetched") {
          response.end(String(request.headers["x-forwarded-proto"]));
        } else response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
      });
    });
    page.listen(0, "127.0.0.1");
    await once(page, "listening");
    scene.defer(() => {
      for (const socket of sockets.clients) socket.terminate();
      page.close();
      page.closeAllConnections();
    });
    await startAgent(scene, server.upstream, "web", `127.0.0.1:${(page.address() as AddressInfo).port}`);

    const home = await scene.directory();
    const database = `sql:${join(home, ".pki/nssdb")}`;
    await run("mkdir", ["-p", join(home, ".pki/nssdb")]);
    for (const args of [
      ["-N", "--empty-password"],
      ["-A", "-t", "C,,", "-n", "test", "-i", tls.ca.cert],
    ]) {
      const { code, stderr } = await run("certutil", ["-d", database, ...args]);
      expect([code, stderr]).toEqual([0, ""]);
    }
    const flags = [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
      `--user-data-dir=${join(home, "profile")}`,
      "--host-resolver-rules=MAP *.piko.test 127.0.0.1",
      `https://web.piko.test:${server.proxy.split(":")[1]}/`,
    ];
    startProgram(scene, "chromium", "chromium", flags, { env: { HOME: home } });
    expect(JSON.parse(await within(report, "a report of the page"))).toEqual({
      socket: "hello back",
      secure: true,
      fetched: "https",
    });
  });
});
