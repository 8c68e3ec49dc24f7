// Settings for the maximum size of a request or a response head: the response beyond it, and the metric.

import { beforeAll, describe, expect, it } from "vitest";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { startCannedService } from "../harness/raw-service.js";
import { perFile } from "../harness/stage.js";
import { ask, errorOf, GET, HOST, limited, limitRig, UPGRADE } from "./limit-rig.js";

const rig = limitRig();

describe("a request", () => {
  let server: RunningServer;
  const scope = perFile();

  beforeAll(async () => {
    server = await startServer(scope, {
      "proxy.http.max-header-bytes": "8KiB",
      "proxy.limits.max-header-fields": "20",
      "proxy.limits.max-target-bytes": "1000",
      "proxy.limits.max-body-bytes": "100000",
    });
    await startAgent(scope, server.upstream, "web", rig.service.addr);
  });

  const path = (bytes: number): string => `/item?i=${"x".repeat(bytes - 8)}`;
  const fields = (count: number): string => Array.from({ length: count }, (_, i) => `X-${i}: y\r\n`).join("");

  it.each([
    ["with the longest target", `GET ${path(1_000)} HTTP/1.1\r\n${HOST}\r\n`, 200, "max_target_bytes"],
    ["with too long a target", `GET ${path(1_001)} HTTP/1.1\r\n${HOST}\r\n`, 414, "max_target_bytes"],
    ["with an endless target", `GET /${"x".repeat(3_000)}`, 414, "max_target_bytes"],
    [
      "with the maximum number of fields",
      `GET /item?i=1 HTTP/1.1\r\n${HOST}${fields(19)}\r\n`,
      200,
      "max_header_fields",
    ],
    ["with too many fields", `GET /item?i=1 HTTP/1.1\r\n${HOST}${fields(20)}\r\n`, 431, "max_header_fields"],
    [
      "with too large a head",
      `GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(9_000)}\r\n\r\n`,
      431,
      "max_header_bytes",
    ],
    ["with an endless head", `GET / HTTP/1.1\r\n${HOST}X: ${"x".repeat(9_000)}`, 431, "max_header_bytes"],
    [
      "for the longest endpoint id",
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"x".repeat(255)}\r\n\r\n`,
      502,
      "max_endpoint_id_bytes",
    ],
    [
      "for too long an endpoint id",
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"x".repeat(256)}\r\n\r\n`,
      400,
      "max_endpoint_id_bytes",
    ],
    [
      "for the longest endpoint id that isn't ASCII",
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"\xc3\xa9".repeat(127)}\r\n\r\n`,
      502,
      "max_endpoint_id_bytes",
    ],
    [
      "for too long an endpoint id that isn't ASCII",
      `GET / HTTP/1.1\r\nHost: x\r\nx-piko-endpoint: ${"\xc3\xa9".repeat(128)}\r\n\r\n`,
      400,
      "max_endpoint_id_bytes",
    ],
    [
      "for too long an endpoint id in its host",
      `GET / HTTP/1.1\r\nHost: ${"x".repeat(256)}.test\r\n\r\n`,
      400,
      "max_endpoint_id_bytes",
    ],
    [
      "to dial too long an endpoint id",
      `GET /_piko/v1/tcp/${"x".repeat(256)} HTTP/1.1\r\n${HOST}${UPGRADE}\r\n`,
      400,
      "max_endpoint_id_bytes",
    ],
    [
      "with the largest body",
      `POST /sum HTTP/1.1\r\n${HOST}Content-Length: 100000\r\n\r\n${"x".repeat(100_000)}`,
      200,
      "max_body_bytes",
    ],
    [
      "that announces too large a body",
      `POST /sum?no HTTP/1.1\r\n${HOST}Content-Length: 100001\r\n\r\n`,
      413,
      "max_body_bytes",
    ],
    [
      "that would wait for 100 with too large a body",
      `POST /sum?no HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n`,
      413,
      "max_body_bytes",
    ],
  ])("%s gets the right response", async (_, request, status, limit) => {
    const before = (await limited(server, limit)) ?? 0;
    const client = await rig.connect(server);
    const response = await ask(client, request);
    expect(response.status).toBe(status);
    const refused = status !== 200 && status !== 502;
    expect(await limited(server, limit)).toBe(before + (refused ? 1 : 0));
    if (refused && status !== 400) await client.rest();
    expect(rig.service.requests.some(({ url }) => url === "/sum?no")).toBe(false);
  });

  it.each([
    ["in one piece", 1],
    ["in many pieces", 40],
  ])("with too large a chunked body gets 413, and the service never gets it whole: %s", async (_, pieces) => {
    const before = (await limited(server, "max_body_bytes")) ?? 0;
    const name = `/sum?large=${pieces}`;
    const client = await rig.connect(server);
    const piece = "x".repeat(120_000 / pieces);
    const chunk = `${piece.length.toString(16)}\r\n${piece}\r\n`;
    client.send(
      `POST ${name} HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(pieces)}0\r\n\r\n`,
    );
    expect(errorOf(await client.response("POST"))).toEqual([413, "request body too large", undefined]);
    await client.rest();
    expect(await limited(server, "max_body_bytes")).toBe(before + 1);
    const seen = rig.service.requests.find(({ url }) => url === name);
    if (seen !== undefined) await seen.aborted;
  });

  it("with the largest chunked body is served", async () => {
    const chunk = `${(50_000).toString(16)}\r\n${"x".repeat(50_000)}\r\n`;
    const request = `POST /sum HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\n\r\n`;
    const response = await rig.askOnce(server, request);
    expect(JSON.parse(response.body.toString())).toMatchObject({ bytes: 100_000 });
  });
});

describe("a response head", () => {
  it.each([
    ["at the agent", "http-client.max-response-header-bytes", {}],
    [
      "at the node",
      "proxy.limits.max-response-header-bytes",
      { "proxy.limits.max-response-header-bytes": "8192" },
    ],
  ])("beyond the limit %s is a 502", async (_, name, flags) => {
    const server = await startServer(rig.scene, flags);
    const agentFlags = name.startsWith("http") ? [`--${name}`, "8192"] : [];
    const canned = await startCannedService(
      rig.scene,
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(9_000)}\r\nContent-Length: 0\r\n\r\n`,
    );
    await startAgent(rig.scene, server.upstream, "web", canned.addr, { flags: agentFlags });
    expect((await rig.askOnce(server, GET)).status).toBe(502);
    if (name.startsWith("proxy")) expect(await limited(server, "max_response_header_bytes")).toBe(1);
  });
});
