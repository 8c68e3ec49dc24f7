// WebSockets over HTTP/2: Chromium, which opens them on the connection that it has for the page, and node:http2 by extended
// CONNECT; before a service of `ws`, which speaks HTTP/1.1.

import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:http2";
import type { AddressInfo } from "node:net";
import { CertificateWorkshop } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { WebSocketServer } from "ws";
import { eventually, within } from "../harness/deadline.js";
import { startTunnel } from "../harness/piko.js";
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

/** Echoes what WebSockets bring, serves the page, and keeps what is reported. */
async function startService(): Promise<{ addr: string; reports: string[] }> {
  const reports: string[] = [];
  const server = createServer((request, response) => {
    if (request.url?.startsWith("/report?") === true) reports.push(request.url.slice("/report?".length));
    response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
  });
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket) => socket.on("message", (data, binary) => socket.send(data, { binary })));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scene.defer(() => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    server.close();
  });
  return { addr: `127.0.0.1:${(server.address() as AddressInfo).port}`, reports };
}

describe.runIf(chromium !== undefined || haveTools("chromium"))("Chromium", () => {
  it("opens a WebSocket on the HTTP/2 connection of its page", async () => {
    const { cert, key } = workshop.sign(workshop.authority("ca"), "server", { names: "DNS:web.test" });
    const { addr, reports } = await startService();
    const { server } = await startTunnel(scene, addr, { "proxy.tls.cert": cert, "proxy.tls.key": key });
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
    const line = await server.program.waitForLine(
      ({ text }) => text.includes('"status":101'),
      "WebSocket's line",
    );
    expect(line.text).toContain('"proto":"HTTP/2.0","method":"GET"');
  });
});

describe("node:http2", () => {
  it("opens one by extended CONNECT, and ends it", async () => {
    const { addr } = await startService();
    const { server } = await startTunnel(scene, addr);
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
    // "hi" in a masked text frame, whose mask is zeros; and a Close frame.
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
