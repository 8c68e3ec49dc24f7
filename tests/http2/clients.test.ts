// Real clients that speak HTTP/2, by ALPN and by prior knowledge: curl and node:http2, with one stream and with many at the
// same time, in both directions, and while the node stops.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { CertificateWorkshop } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { eventually, within } from "../harness/deadline.js";
import { startAgent, startServer, startTunnel } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const scene = perTest();
const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const ca = workshop.authority("ca");
const forServer = workshop.sign(ca, "server", { names: "DNS:localhost" });
const TLS = { "proxy.tls.cert": forServer.cert, "proxy.tls.key": forServer.key };
const H2C = "--http2-prior-knowledge";

/** A service that answers with a description of what it received. */
async function startEcho(): Promise<string> {
  const server = createServer((request, response) => {
    const hash = createHash("sha256");
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      hash.update(chunk);
      length += chunk.length;
    });
    request.on("end", () => {
      response.setHeader("trailer", "x-sum");
      response.addTrailers({ "x-sum": hash.digest("hex") });
      response.end(
        JSON.stringify({ url: request.url, length, trailers: request.trailers, headers: request.headers }),
      );
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  scene.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Opens a session that is closed with the test. */
function open(proxy: string): ClientHttp2Session {
  const session = connect(`http://${proxy}`);
  session.on("error", () => {});
  scene.defer(() => session.destroy());
  return session;
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  readonly trailers: Record<string, unknown>;
}

function ask(
  session: ClientHttp2Session,
  path: string,
  fields: Record<string, string> = {},
  body?: Buffer,
): Promise<Answer> {
  const stream = session.request(
    {
      ":path": path,
      "x-piko-endpoint": "web",
      ...(body === undefined ? {} : { ":method": "POST" }),
      ...fields,
    },
    { endStream: body === undefined },
  );
  const chunks: Buffer[] = [];
  let status = 0;
  let trailers = {};
  stream.on("response", (head) => (status = Number(head[":status"])));
  stream.on("trailers", (fields) => (trailers = fields));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (body !== undefined) stream.end(body);
  const done = new Promise<Answer>((resolve, reject) => {
    stream.on("error", reject);
    stream.on("end", () => resolve({ status, body: Buffer.concat(chunks), trailers }));
  });
  return within(done, `an answer to ${path}`);
}

describe("curl", () => {
  it("speaks HTTP/2 by prior knowledge, with bodies in both directions and trailers", async () => {
    const { server } = await startTunnel(scene, await startEcho());
    const upload = join(await scene.directory(), "upload");
    const bytes = randomBytes(3_000_000);
    await writeFile(upload, bytes);
    const version = "%{stderr}version=%{http_version}\n";
    const args = [H2C, "--write-out", version, "--cookie", "a=1; b=2"];
    const got = await curl(server.proxy, "web", "/x?y=1", { args });
    expect(got.stderr).toContain("version=2\n");
    expect(JSON.parse(got.stdout)).toMatchObject({
      url: "/x?y=1",
      length: 0,
      headers: { cookie: "a=1; b=2" },
    });
    const put = await curl(server.proxy, "web", "/up", { args: [H2C, "--upload-file", upload] });
    expect(JSON.parse(put.stdout)).toMatchObject({ length: 3_000_000 });
    expect(put.heads).toContain(`x-sum: ${createHash("sha256").update(bytes).digest("hex")}`);
    const lost = await curl(server.proxy, "other", "/x", { args: [H2C] });
    expect([lost.heads.split(" \r\n")[0], lost.stdout]).toEqual([
      "HTTP/2 502",
      '{"error":"no available upstreams","endpoint":"other","reason":"no_upstream"}\n',
    ]);
    await server.program.waitForLine(
      ({ text }) => text.includes('"proto":"HTTP/2.0"'),
      "line of the access log",
    );
  });

  it("negotiates HTTP/2 over TLS, unless either side has it disabled", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr, TLS);
    const { server: old } = await startTunnel(scene, service.addr, {
      ...TLS,
      "proxy.http2.enabled": "false",
    });
    const versionOf = async (proxy: string, ...args: string[]): Promise<string> => {
      const url = `https://localhost:${proxy.split(":")[1]}/item?i=1`;
      const report = ["--silent", "--output", "/dev/null", "--write-out", "%{http_version} %{http_code}"];
      const all = [...report, "--cacert", ca.cert, "--header", "x-piko-endpoint: web", ...args, url];
      return (await run("curl", all)).stdout;
    };
    expect(await versionOf(server.proxy)).toBe("2 200");
    expect(await versionOf(server.proxy, "--http1.1")).toBe("1.1 200");
    expect(await versionOf(old.proxy)).toBe("1.1 200");
  });

  it("is refused by prior knowledge if HTTP/2 is disabled", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr, { "proxy.http2.enabled": "false" });
    expect((await curl(server.proxy, "web", "/item?i=1", { args: [H2C] })).code).not.toBe(0);
    expect((await curl(server.proxy, "web", "/item?i=1")).status).toBe(200);
  });
});

describe("node:http2", () => {
  it("gets the right answers to a hundred concurrent requests", async () => {
    const { server } = await startTunnel(scene, await startEcho());
    const session = open(server.proxy);
    const bodies = Array.from({ length: 100 }, (_, at) => randomBytes(at * 1_000));
    const answers = await Promise.all(bodies.map((body, at) => ask(session, `/${at}`, {}, body)));
    answers.forEach(({ body, status, trailers }, at) => {
      expect(status).toBe(200);
      expect(JSON.parse(body.toString())).toMatchObject({ url: `/${at}`, length: at * 1_000 });
      expect(trailers["x-sum"]).toBe(
        createHash("sha256")
          .update(bodies[at] ?? "")
          .digest("hex"),
      );
    });
  });

  it("cancels a request, and the service notices", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr);
    const session = open(server.proxy);
    const stream = session.request({ ":path": "/hang", "x-piko-endpoint": "web" });
    stream.on("error", () => {});
    const seen = await service.request("/hang");
    stream.close(constants.NGHTTP2_CANCEL);
    await within(seen.aborted, "the end of the request at the service");
    expect((await ask(session, "/item?i=1")).status).toBe(200);
  });

  it("isn't blocked by one of its streams that it doesn't read", async () => {
    const { server } = await startTunnel(scene, (await Service.start(scene)).addr);
    const session = open(server.proxy);
    const slow = session.request({ ":path": "/bytes?n=5000000", "x-piko-endpoint": "web" });
    slow.on("error", () => {});
    await once(slow, "response");
    for (let i = 0; i < 20; i++) expect((await ask(session, "/item?i=1")).status).toBe(200);
    slow.destroy();
  });

  it("loses no request while its node stops, and gets a GOAWAY", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene);
    const other = await startServer(scene, { "cluster.join": server.gossip });
    await startAgent(scene, other.upstream, "web", service.addr);
    const session = open(server.proxy);
    // Waits until the node has learned of the agent.
    await eventually(
      async () => (await ask(session, "/item?i=1")).status === 200,
      "endpoint known to the node",
    );
    const closed = once(session, "goaway");
    const slow = ask(session, "/slow?head=1000");
    await service.request("/slow");
    const stopped = server.program.stop();
    await within(closed, "the first GOAWAY");
    expect((await slow).status).toBe(200);
    await stopped;
  });
});
