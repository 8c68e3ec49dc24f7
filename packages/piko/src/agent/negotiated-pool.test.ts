// A service that chooses its HTTP version by ALPN, and the version that each request uses.

import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import { createCertificates } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { NO_TLS, Fixtures } from "../../test/agent-rig.js";
import { H2Service } from "../../test/h2-services.js";

const fixtures = new Fixtures();

afterEach(() => fixtures.dispose());

const GET = "GET / HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\nbody";
const UPGRADE = "GET /socket HTTP/1.1\r\nHost: h.test\r\nConnection: upgrade\r\nUpgrade: own\r\n\r\n";
const UNREACHABLE = '{"error":"upstream unreachable","endpoint":"my-endpoint","reason":"';

describe("a service with TLS", () => {
  const keys = () => {
    const certificates = createCertificates();
    fixtures.add({ [Symbol.asyncDispose]: async () => certificates[Symbol.dispose]() });
    const { caCert, serverCert, serverKey } = certificates;
    return {
      tls: { ...NO_TLS, rootCas: caCert },
      cert: readFileSync(serverCert),
      key: readFileSync(serverKey),
    };
  };

  it("that chooses HTTP/2 gets it, on one connection", async () => {
    const { tls, ...own } = keys();
    const versions: string[] = [];
    const service = await H2Service.startSecure(fixtures, { ...own, allowHTTP1: true }, (stream, fields) => {
      versions.push(String(fields[":scheme"]));
      stream.respond({ ":status": 204 });
      stream.end();
    });
    const rig = await fixtures.rig({ service: `https://127.0.0.1:${service.port}`, protocol: "h2", tls });
    const answers = await Promise.all(Array.from({ length: 20 }, () => rig.request(GET)));
    for (const { text } of answers) expect(text).toContain("204");
    expect([versions.length, new Set(versions), service.sessions.length]).toEqual([
      20,
      new Set(["https"]),
      1,
    ]);
  });

  it("that chooses HTTP/1.1 gets HTTP/1.1", async () => {
    const { tls, ...own } = keys();
    const server = createServer(own, (request, response) => response.end(request.httpVersion));
    server.listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    fixtures.add({ [Symbol.asyncDispose]: async () => void server.close() });
    const port = (server.address() as { port: number }).port;
    const rig = await fixtures.rig({ service: `127.0.0.1:${port}`, protocol: "h2", tls });
    expect((await rig.request(GET)).text).toMatch(/1\.1$/);
    expect((await rig.request(POST)).text).toMatch(/1\.1$/);
    server.closeAllConnections();
  });

  it("that chooses HTTP/2 gets upgrades by HTTP/1.1, on a separate connection", async () => {
    const { tls, ...own } = keys();
    const service = await H2Service.startSecure(fixtures, { ...own, allowHTTP1: true }, (stream) => {
      stream.respond({ ":status": 204 });
      stream.end();
    });
    service.server.on("upgrade", ({ httpVersion, url }: IncomingMessage, socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: own\r\n\r\n");
      socket.end(`${httpVersion} ${url}`);
    });
    const rig = await fixtures.rig({ service: `https://127.0.0.1:${service.port}`, protocol: "h2", tls });
    for (let i = 0; i < 2; i++) {
      expect((await rig.request(GET)).text).toContain(" 204 ");
      expect((await rig.request(UPGRADE)).text).toMatch(/^HTTP\/1\.1 101 [^]*\r\n\r\n1\.1 \/socket$/);
    }
    expect(service.sessions).toHaveLength(1);
  });

  it("that only speaks HTTP/2 can't get upgrades", async () => {
    const { tls, ...own } = keys();
    const service = await H2Service.startSecure(fixtures, own, (stream) => {
      stream.respond({ ":status": 204 });
      stream.end();
    });
    const rig = await fixtures.rig({ service: `https://127.0.0.1:${service.port}`, protocol: "h2", tls });
    expect((await rig.request(GET)).text).toContain(" 204 ");
    expect((await rig.request(UPGRADE)).text).toContain(UNREACHABLE);
    expect((await rig.request(GET)).text).toContain(" 204 ");
  });

  it("that can't be reached results in 502", async () => {
    const { tls } = keys();
    const rig = await fixtures.rig({ service: "https://127.0.0.1:1", protocol: "h2", tls });
    expect((await rig.request(POST)).text).toContain(UNREACHABLE);
    expect((await rig.request(GET)).text).toContain(UNREACHABLE);
  });
});
