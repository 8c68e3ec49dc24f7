// HTTP requests through server and agent, sent by curl and as exact bytes.

import { beforeAll, describe, expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { startAgent, startTunnel, type Tunnel } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startRawService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";
import { haveTools } from "../harness/tools.js";

const stage = perFile();
const scene = perTest();
let service: Service;
let tunnel: Tunnel;

beforeAll(async () => {
  service = await Service.start(stage);
  tunnel = await startTunnel(stage, service.addr);
});

const connect = (): Promise<RawClient> => RawClient.connect(scene, tunnel.server.proxy);
const get = (path: string, more = ""): string => `GET ${path} HTTP/1.1\r\nHost: web.test\r\n${more}\r\n`;

interface Reflection {
  method: string;
  url: string;
  headers: Record<string, string>;
  rawHeaders: string[];
  trailers: Record<string, string>;
  body: string;
}

async function reflect(request: string): Promise<Reflection> {
  const client = await connect();
  client.send(request);
  const { status, body } = await client.response();
  expect(status).toBe(200);
  return JSON.parse(body.toString()) as Reflection;
}

describe.runIf(haveTools("curl"))("curl", () => {
  it("gets a body", async () => {
    const { status, stdout } = await curl(tunnel.server.proxy, "web", "/item?i=7");
    expect(status).toBe(200);
    expect(stdout).toBe("item 7");
  });

  it("gets only the head for a HEAD, with the length that a GET would have", async () => {
    const { status, stdout, heads } = await curl(tunnel.server.proxy, "web", "/bytes?n=1234", {
      args: ["--head"],
    });
    expect(status).toBe(200);
    expect(heads.toLowerCase()).toContain("content-length: 1234");
    expect(stdout).toBe(heads);
  });

  it("posts a body and receives the same body", async () => {
    const body = "x".repeat(100_000);
    const { status, stdout } = await curl(tunnel.server.proxy, "web", "/echo", {
      args: ["--data-binary", body],
    });
    expect(status).toBe(200);
    expect(stdout).toBe(body);
  });

  it.each(["PUT", "PATCH", "DELETE", "OPTIONS"])("transfers %s requests", async (method) => {
    const { stdout } = await curl(tunnel.server.proxy, "web", "/reflect", { args: ["--request", method] });
    expect((JSON.parse(stdout) as Reflection).method).toBe(method);
  });

  it("also reaches the endpoint by the first label of the host", async () => {
    const { stdout } = await curl(tunnel.server.proxy, "", "/item?i=1", {
      args: ["--header", "host: web.example.com"],
    });
    expect(stdout).toBe("item 1");
  });

  it("follows a redirect's Location", async () => {
    const refused = await curl(tunnel.server.proxy, "web", "/redirect");
    expect(refused.status).toBe(302);
    expect(refused.heads).toMatch(/^location: \/reflect\?from=redirect\r$/im);
    const followed = await curl(tunnel.server.proxy, "web", "/redirect", { args: ["--location"] });
    expect((JSON.parse(followed.stdout) as Reflection).url).toBe("/reflect?from=redirect");
  });

  it("waits for 100-continue, and receives one before it sends its body", async () => {
    const flags = [
      "--header",
      "Expect: 100-continue",
      "--expect100-timeout",
      "600",
      "--data-binary",
      "held back",
    ];
    const { status, stdout, heads } = await curl(tunnel.server.proxy, "web", "/echo", { args: flags });
    expect(status).toBe(200);
    expect(heads).toContain("HTTP/1.1 100");
    expect(stdout).toBe("held back");
  });

  it("sends many requests over one connection", async () => {
    const more = Array.from({ length: 20 }, (_, i) => `/item?i=${i}`);
    const flags = ["--write-out", "[%{num_connects}]"];
    const { stdout } = await curl(tunnel.server.proxy, "web", "/item?i=20", { args: flags, more });
    expect(stdout.match(/item \d+/g)).toHaveLength(21);
    expect(stdout.match(/\[1\]/g)).toHaveLength(1);
    expect(stdout.match(/\[0\]/g)).toHaveLength(20);
  });
});

describe("a response", () => {
  it.each([204, 304])(
    "of status %i has no body, keeps its fields and leaves the connection usable",
    async (status) => {
      const client = await connect();
      client.send(get(`/status/${status}`) + get("/item?i=after"));
      const bare = await client.response();
      expect(bare.status).toBe(status);
      expect(bare.field("etag")).toBe('"v1"');
      expect(bare.field("transfer-encoding")).toBeUndefined();
      expect((await client.response()).body.toString()).toBe("item after");
    },
  );

  it("of status 404 keeps the service's content type", async () => {
    const client = await connect();
    client.send(get("/nowhere"));
    const response = await client.response();
    expect(response.status).toBe(404);
    expect(response.field("content-type")).toBe("application/x-missing");
  });

  it("of unknown length arrives chunked, with its trailers", async () => {
    const client = await connect();
    client.send(get("/trailers", "TE: trailers\r\n"));
    const response = await client.response();
    expect(response.chunked).toBe(true);
    expect(response.body.toString()).toBe("body");
    expect(response.field("trailer")?.toLowerCase()).toBe("x-sum, x-count");
    const trailers = response.trailers.map(([name, value]) => `${name.toLowerCase()}: ${value}`);
    expect(trailers.sort()).toEqual(["x-count: 4", "x-sum: abc"]);
  });

  it("is preceded by its early hints", async () => {
    const client = await connect();
    client.send(get("/hints?ms=200"));
    const hints = await client.response();
    expect(hints.status).toBe(103);
    expect(hints.field("link")).toBe("</style.css>; rel=preload; as=style");
    expect((await client.response()).body.toString()).toBe("late");
  });

  it("has one Date and no hop-by-hop field", async () => {
    const client = await connect();
    client.send(get("/item?i=1"));
    const response = await client.response();
    expect(response.fields.filter(([name]) => name.toLowerCase() === "date")).toHaveLength(1);
    expect(response.field("keep-alive")).toBeUndefined();
  });
});

describe("a request", () => {
  it("arrives with its method, target, host and fields as sent", async () => {
    const seen = await reflect(
      "GET /reflect/a%20b//c?x=1;y=%zz&&z HTTP/1.1\r\nHost: web.test:8000\r\nX-Many: 1\r\nx-many: 2\r\nCookie: a=b\r\n\r\n",
    );
    expect(seen.url).toBe("/reflect/a%20b//c?x=1;y=%zz&&z");
    expect(seen.headers).toMatchObject({ host: "web.test:8000", "x-many": "1, 2", cookie: "a=b" });
    expect(seen.headers["x-forwarded-for"]).toContain("127.0.0.1");
  });

  it("may have a head of 200 KB, and its response one of 56 KB", async () => {
    const answer = `HTTP/1.1 200 OK\r\nContent-Length: 2\r\n${`X-Big: ${"y".repeat(8_000)}\r\n`.repeat(7)}\r\nok`;
    const heads: number[] = [];
    const big = await startRawService(scene, (socket) => {
      let seen = "";
      socket.on("data", (piece) => {
        seen += piece.toString("latin1");
        if (!seen.endsWith("\r\n\r\n")) return;
        heads.push(seen.length);
        socket.write(answer);
      });
      socket.on("end", () => socket.end());
    });
    await startAgent(scene, tunnel.server.upstream, "big", big.addr);
    const client = await connect();
    const fields = `X-Big: ${"x".repeat(8_000)}\r\n`.repeat(25);
    client.send(`GET / HTTP/1.1\r\nHost: big.test\r\n${fields}\r\n`);
    const response = await client.response();
    expect(response.status).toBe(200);
    expect(response.field("x-big")?.length).toBeGreaterThan(56_000);
    expect(heads[0]).toBeGreaterThan(200_000);
  });

  it("loses its hop-by-hop fields, and only those", async () => {
    const seen = await reflect(
      get(
        "/reflect",
        "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nX-End: 2\r\n",
      ),
    );
    expect(seen.headers["x-end"]).toBe("2");
    for (const gone of ["x-hop", "keep-alive", "proxy-connection"])
      expect(seen.headers[gone]).toBeUndefined();
  });

  it("keeps a chunked body and its trailers", async () => {
    const head =
      "POST /reflect HTTP/1.1\r\nHost: web.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    const seen = await reflect(`${head}5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Sum: 7\r\n\r\n`);
    expect(seen.body).toBe("hello world");
    expect(seen.trailers).toEqual({ "x-sum": "7" });
  });

  it("may arrive one byte at a time", async () => {
    const client = await connect();
    for (const byte of get("/item?i=slowly")) {
      client.send(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await client.response()).body.toString()).toBe("item slowly");
  });

  it("may be one of many that are pipelined and answered in order", async () => {
    const client = await connect();
    // Earlier requests take longer than later ones, so later answers would arrive first if the order weren't kept.
    const count = 30;
    client.send(Array.from({ length: count }, (_, i) => get(`/item?i=${i}&ms=${(count - i) * 2}`)).join(""));
    for (let i = 0; i < count; i++) expect((await client.response()).body.toString()).toBe(`item ${i}`);
  });

  it("may follow a body on the same connection", async () => {
    const client = await connect();
    const post = "POST /echo HTTP/1.1\r\nHost: web.test\r\nContent-Length: 5\r\n\r\nhello";
    client.send(post + get("/item?i=1") + post);
    expect((await client.response("POST")).body.toString()).toBe("hello");
    expect((await client.response()).body.toString()).toBe("item 1");
    expect((await client.response("POST")).body.toString()).toBe("hello");
  });

  it("with Connection: close is the last on its connection", async () => {
    const client = await connect();
    client.send(get("/item?i=last", "Connection: close\r\n"));
    const response = await client.response();
    expect(response.body.toString()).toBe("item last");
    expect(response.field("connection")).toBe("close");
    expect((await client.rest()).length).toBe(0);
  });

  it("of HTTP/1.0 ends its connection and gets a body without chunks", async () => {
    const client = await connect();
    client.send("GET /trailers HTTP/1.0\r\nHost: web.test\r\n\r\n");
    const text = (await client.rest()).toString("latin1");
    expect(text).toMatch(/^HTTP\/1\.[01] 200 /);
    expect(text.toLowerCase()).not.toContain("transfer-encoding");
    expect(text.split("\r\n\r\n")[1]).toBe("body");
  });

  it("of HTTP/1.0 with keep-alive may be followed by another", async () => {
    const client = await connect();
    const request = "GET /status/200 HTTP/1.0\r\nHost: web.test\r\nConnection: keep-alive\r\n\r\n";
    client.send(request);
    const response = await client.response();
    expect(response.status).toBe(200);
    expect(response.field("connection")?.toLowerCase()).toBe("keep-alive");
    client.send(request);
    expect((await client.response()).status).toBe(200);
  });

  it("with an unknown expectation is answered with 417", async () => {
    const client = await connect();
    client.send("POST /echo HTTP/1.1\r\nHost: web.test\r\nExpect: miracle\r\nContent-Length: 1\r\n\r\nx");
    expect((await client.response("POST")).status).toBe(417);
  });

  it("gets the service's refusal instead of a 100, and its body isn't requested", async () => {
    const client = await connect();
    client.send(
      "POST /refuse HTTP/1.1\r\nHost: web.test\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    );
    expect((await client.response("POST")).status).toBe(413);
  });
});
