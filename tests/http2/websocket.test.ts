// WebSockets over HTTP/2: Chromium, which opens them on the connection of the page, and node:http2 by extended CONNECT; to a
// service with `ws` that speaks HTTP/1.1, or HTTP/2 for requests and HTTP/1.1 only for WebSockets.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { connect, createSecureServer, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";
import { CertificateWorkshop } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { eventually, within } from "../harness/deadline.js";
import { startAgent, startServer, startTunnel } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { perTest } from "../harness/stage.js";
import { findTool, haveTools } from "../harness/tools.js";

const scene = perTest();
const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const chromium = findTool("chromium") ?? findTool("google-chrome") ?? findTool("chrome");

const PAGE = `<!doctype html><title>page</title><script>
const socket = new WebSocket("wss://" + location.host + "/socket");
const echoes = [];
socket.onopen = () => socket.send("x".repeat(100000));
socket.onmessage = ({ data }) => { echoes.push(data.length); if (echoes.length < 3) socket.send("next"); else socket.close(); };
socket.onclose = ({ wasClean }) => fetch("/report?" + wasClean + "," + echoes.join());
</script>`;

interface PageService {
  readonly port: number;
  /** What pages have reported about their WebSockets. */
  readonly reports: string[];
  /** The HTTP versions of requests and WebSocket handshakes. */
  readonly versions: Set<string>;
}

/** Echoes WebSocket messages, serves the page, and records its reports. With a certificate, it is a service for `h2`. */
async function startService(tls?: { cert: string; key: string }): Promise<PageService> {
  const reports: string[] = [];
  const versions = new Set<string>();
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    versions.add(`request by ${request.httpVersion}`);
    if (request.url?.startsWith("/report?") === true) reports.push(request.url.slice("/report?".length));
    response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
  };
  const own = tls === undefined ? undefined : { cert: readFileSync(tls.cert), key: readFileSync(tls.key) };
  // Node's compatibility API offers the same methods, as far as they are used here, and its upgrades are those of HTTP/1.1.
  const server =
    own === undefined
      ? createServer(handler)
      : createSecureServer({ ...own, allowHTTP1: true }, handler as never);
  const sessions = new Set<ServerHttp2Session>();
  server.on("session", (session: ServerHttp2Session) => sessions.add(session));
  const sockets = new WebSocketServer({ server: server as ReturnType<typeof createServer> });
  sockets.on("connection", (socket, { httpVersion }) => {
    versions.add(`WebSocket by ${httpVersion}`);
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scene.defer(() => {
    for (const socket of sockets.clients) socket.terminate();
    for (const session of sessions) session.destroy();
    if ("closeAllConnections" in server) server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, reports, versions };
}

describe.runIf(chromium !== undefined || haveTools("chromium"))("Chromium", () => {
  it.each([
    ["http", ["WebSocket by 1.1", "request by 1.1"]],
    ["h2", ["WebSocket by 1.1", "request by 2.0"]],
  ])(
    "opens a WebSocket on the HTTP/2 connection of its page, with a service that speaks %s",
    async (protocol, by) => {
      const ca = workshop.authority("ca");
      const { cert, key } = workshop.sign(ca, "server", { names: "DNS:web.test,DNS:localhost" });
      const secure = protocol === "h2";
      const service = await startService(secure ? { cert, key } : undefined);
      const { reports, versions } = service;
      const server = await startServer(scene, { "proxy.tls.cert": cert, "proxy.tls.key": key });
      const flags = secure ? ["--protocol", "h2", "--tls.root-cas", ca.cert] : [];
      const target = `${secure ? "https" : "http"}://localhost:${service.port}`;
      await startAgent(scene, server.upstream, "web", target, { flags });
      const port = server.proxy.split(":")[1];
      startProgram(scene, "chromium", chromium ?? "chromium", [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--ignore-certificate-errors",
        `--user-data-dir=${await scene.directory()}`,
        "--host-resolver-rules=MAP web.test 127.0.0.1",
        "--remote-debugging-port=0",
        `https://web.test:${port}/`,
      ]);
      await eventually(() => reports.length > 0, "the page's report");
      expect(reports).toEqual(["true,100000,4,4"]);
      expect([...versions].sort()).toEqual(by);
      const line = await server.program.waitForLine(
        ({ text }) => text.includes('"status":101'),
        "WebSocket's line",
      );
      expect(line.text).toContain('"proto":"HTTP/2.0","method":"GET"');
    },
  );
});

describe("node:http2", () => {
  it("opens a WebSocket by extended CONNECT, and closes it", async () => {
    const { port } = await startService();
    const { server } = await startTunnel(scene, `127.0.0.1:${port}`);
    const session = connect(`http://${server.proxy}`);
    scene.defer(() => session.destroy());
    await once(session, "remoteSettings");
    expect(session.remoteSettings.enableConnectProtocol).toBe(true);
    const stream = session.request({
      ":method": "CONNECT",
      ":protocol": "websocket",
      ":path": "/socket",
      "x-piko-endpoint": "web",
      "sec-websocket-version": "13",
    });
    const [head] = await within(once(stream, "response"), "the answer");
    expect(head[":status"]).toBe(200);
    // "hi" in a masked text frame with a zero mask, and later a Close frame.
    stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    const [echo] = await within(once(stream, "data"), "the echo");
    expect(echo).toEqual(Buffer.from([0x81, 0x02, 0x68, 0x69]));
    stream.end(Buffer.from([0x88, 0x80, 0, 0, 0, 0]));
    const [close] = await within(once(stream, "data"), "the Close frame");
    expect((close as Buffer)[0]).toBe(0x88);
    await within(once(stream, "close"), "the stream's end");
    expect(stream.rstCode).toBe(0);
  });
});
