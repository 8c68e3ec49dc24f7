import { afterEach, describe, expect, it } from "vitest";
import { answering, received, Fixtures } from "../../test/agent-rig.js";

const fixtures = new Fixtures();
afterEach(() => fixtures.dispose());

const GET = "GET /path?q=1 HTTP/1.1\r\nHost: my-endpoint.example.com\r\nConnection: close\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

describe("a request", () => {
  it("reaches the service as the node sent it, without the fields between nodes and agents", async () => {
    let seen: string | undefined;
    const service = await fixtures.raw(
      answering((head) => {
        seen = head;
        return OK;
      }),
    );
    const rig = await fixtures.rig({ service: service.port });
    const response = await rig.request(
      "GET /a%2Fb?x=[1] HTTP/1.1\r\nHost: my-endpoint.example.com\r\nx-piko-endpoint: my-endpoint\r\n" +
        "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nx-piko-forward: true\r\nX-Custom: 1\r\nConnection: close\r\n\r\n",
    );
    expect(response.text).toBe(OK);
    expect(response.ended).toBe(true);
    expect(seen).toBe(
      "GET /a%2Fb?x=[1] HTTP/1.1\r\nHost: my-endpoint.example.com\r\nx-piko-endpoint: my-endpoint\r\n" +
        "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nX-Custom: 1\r\n\r\n",
    );
    expect(rig.statuses).toEqual({ 200: 1 });
    expect(rig.metrics.inFlight).toBe(0);
  });

  it("has the path and the query of the service's address in front of its own", async () => {
    const port = await fixtures.http((request, response) => response.end(request.url));
    const rig = await fixtures.rig({ service: `http://127.0.0.1:${port}/base/?key=1` });
    expect((await rig.request(GET)).text).toMatch(/\/base\/path\?key=1&q=1$/);
  });

  it("may arrive byte by byte", async () => {
    const port = await fixtures.http((request, response) => {
      request.setEncoding("utf8");
      let body = "";
      request.on("data", (data: string) => (body += data));
      request.on("end", () => response.end(`${request.method} ${body}`));
    });
    const rig = await fixtures.rig({ service: port });
    const stream = rig.open();
    for (const byte of "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody") {
      stream.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect((await stream.over()).text).toMatch(/POST body$/);
  });

  it.each([
    ["a length", "Content-Length: 11\r\n\r\nhello world"],
    [
      "chunks",
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Checksum: 7\r\n\r\n",
    ],
  ])("keeps its body with %s", async (_kind, rest) => {
    const port = await fixtures.http((request, response) => {
      let body = "";
      request.on("data", (data: Buffer) => (body += data.toString()));
      request.on("end", () => response.end(`${body}|${request.trailers["x-checksum"] ?? ""}`));
    });
    const rig = await fixtures.rig({ service: port });
    const response = await rig.request(`POST / HTTP/1.1\r\nHost: h\r\n${rest}`);
    expect(response.text).toMatch(rest.includes("Checksum") ? /hello world\|7$/ : /hello world\|$/);
  });

  it("may have a head larger than the stream's window", async () => {
    const cookie = "c".repeat(400_000);
    let seen = "";
    const service = await fixtures.raw(
      answering((head) => {
        seen = head;
        return OK;
      }),
    );
    const rig = await fixtures.rig({ service: service.port });
    const response = await rig.request(
      `GET / HTTP/1.1\r\nHost: h\r\nCookie: ${cookie}\r\nConnection: close\r\n\r\n`,
    );
    expect(response.text).toBe(OK);
    expect(seen).toContain(`\r\nCookie: ${cookie}\r\n`);
  });

  it("finds its service by name", async () => {
    const port = await fixtures.http((_request, response) => response.end("by name"));
    const rig = await fixtures.rig({ service: `http://localhost:${port}` });
    expect((await rig.request(GET)).text).toMatch(/by name$/);
    expect((await rig.request(GET)).text).toMatch(/by name$/);
  });

  it.each([
    ["an invalid head", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400],
    ["HTTP/1.0, which no node speaks", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", 505],
    ["a bare line feed, even if it arrives in parts", "GET / HTTP/1.1\r\nHost: h\n", 400],
  ])("is refused for %s", async (_what, text, status) => {
    const rig = await fixtures.rig({ service: 1 });
    const response = await rig.request(text);
    expect(response.text).toContain(`HTTP/1.1 ${status} `);
    expect(response.text).toContain("Content-Type: application/json\r\n");
    expect(response.text).toMatch(
      /\r\n\r\n\{"error":"[^"]+","endpoint":"my-endpoint","reason":"bad_request"\}\n$/,
    );
    expect(response.ended).toBe(true);
  });

  it("with an invalid body is answered with 400 and never completed at the service", async () => {
    const service = await fixtures.raw((socket) => socket.resume());
    const rig = await fixtures.rig({ service: service.port });
    const stream = rig.open().write("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    const seen = await received(await service.connection(0), (text) => text.endsWith("\r\n\r\n"));
    expect(seen).toContain("Transfer-Encoding: chunked");
    await stream.write("zz\r\n").over();
    expect(stream.text).toContain("HTTP/1.1 400 ");
    await service.gone(0);
  });
});

describe("a response", () => {
  it.each([
    ["HEAD", "HEAD", "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\n"],
    ["204", "GET", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"],
    ["304", "GET", 'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n'],
  ])("to or of %s has no body, and the connection is reused", async (_kind, method, text) => {
    const service = await fixtures.raw(answering(() => text));
    const rig = await fixtures.rig({ service: service.port });
    for (let i = 0; i < 3; i++) {
      expect((await rig.request(GET.replace("GET", method))).text).toBe(text);
    }
    expect(service.connections.length).toBe(1);
  });

  it("keeps its chunks and trailers", async () => {
    const text =
      "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    const service = await fixtures.raw(answering(() => text));
    const rig = await fixtures.rig({ service: service.port });
    expect((await rig.request(GET)).text).toBe(text);
    expect((await rig.request(GET)).text).toBe(text);
    expect(service.connections.length).toBe(1);
  });

  it("that ends with its connection becomes chunked", async () => {
    const service = await fixtures.raw((socket) => {
      socket.once("data", () => socket.end("HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nhello"));
    });
    const rig = await fixtures.rig({ service: service.port });
    expect((await rig.request(GET)).text).toBe(
      "HTTP/1.1 200 OK\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
  });

  it("may arrive in single bytes", async () => {
    const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    const service = await fixtures.raw((socket) => {
      socket.once("data", async () => {
        for (const byte of text) {
          socket.write(byte);
          await new Promise((resolve) => setImmediate(resolve));
        }
      });
    });
    const rig = await fixtures.rig({ service: service.port });
    // Whatever arrives in one read becomes a separate chunk.
    const chunks = "(?:\\d\r\n[abc]+\r\n)+";
    const response = (await rig.request(GET)).text;
    expect(response).toMatch(
      new RegExp(`^HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n$`),
    );
    expect(response.replace(/^.*?\r\n\r\n/s, "").replace(/\d\r\n|\r\n/g, "")).toBe("abc");
  });

  it("is preceded by the service's interim responses", async () => {
    const text = `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n${OK}`;
    const service = await fixtures.raw(answering(() => text));
    const rig = await fixtures.rig({ service: service.port });
    expect((await rig.request(GET)).text).toBe(text);
  });

  it("has Connection: close if the request doesn't", async () => {
    const service = await fixtures.raw(answering(() => OK));
    const rig = await fixtures.rig({ service: service.port });
    const response = await rig.request("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    expect(response.text).toContain("\r\nConnection: close\r\n");
  });

  it("before the end of the request's body is passed on, and ends the upload", async () => {
    const service = await fixtures.raw((socket) => {
      socket.once("data", () => socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"));
    });
    const rig = await fixtures.rig({ service: service.port });
    const stream = rig.open().write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n");
    stream.write(Buffer.alloc(1000));
    await stream.until(({ ended }) => ended);
    expect(stream.text).toContain("HTTP/1.1 413 Too Large");
    expect(stream.reset).toBe(false);
    // Not reset, although the node still sends for a moment; nothing of that is kept.
    stream.write(Buffer.alloc(500_000));
    await service.gone(0);
    expect(rig.pool.idleCount).toBe(0);
  });

  it("may be sent while the request's body still arrives", async () => {
    const port = await fixtures.http((request, response) => {
      request.pipe(response);
    });
    const rig = await fixtures.rig({ service: port });
    const stream = rig
      .open()
      .write("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    await stream.until(({ text }) => text.includes("abc"));
    stream.write("3\r\ndef\r\n0\r\n\r\n");
    await stream.over();
    expect(stream.text).toContain("def");
    expect(stream.text.endsWith("0\r\n\r\n")).toBe(true);
  });

  it.each([
    ["isn't HTTP", "bad_response", "SSH-2.0-OpenSSH_9\r\n\r\n"],
    [
      "has two lengths",
      "bad_response",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
    ],
    [
      "switches without being asked",
      "bad_switch",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
  ])("that %s is answered with 502", async (_what, reason, text) => {
    const service = await fixtures.raw(answering(() => text));
    const rig = await fixtures.rig({ service: service.port });
    const response = await rig.request(GET);
    const body = `{"error":"upstream unreachable","endpoint":"my-endpoint","reason":"${reason}"}\n`;
    expect(response.text).toBe(
      "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n" +
        `Content-Length: ${body.length}\r\nx-piko-reason: ${reason}\r\nConnection: close\r\n\r\n${body}`,
    );
  });

  it("with an endless head is answered with 502", async () => {
    const service = await fixtures.raw((socket) => {
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\n");
        const more = (): void => {
          while (!socket.destroyed && socket.write(`X-A: ${"a".repeat(60_000)}\r\n`));
          socket.once("drain", more);
        };
        more();
      });
    });
    const rig = await fixtures.rig({ service: service.port });
    expect((await rig.request(GET)).text).toContain("HTTP/1.1 502 ");
    await service.gone(0);
  });

  it("with a large head arrives", async () => {
    const text = `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(60_000)}\r\nContent-Length: 2\r\n\r\nok`;
    const service = await fixtures.raw(answering(() => text));
    const rig = await fixtures.rig({ service: service.port });
    expect((await rig.request(GET)).text).toBe(text);
    expect(rig.pool.idleCount).toBe(1);
  });

  it("with a head above the limit is a 502, whether it is complete or not", async () => {
    for (const end of ["\r\n\r\n", ""]) {
      const text = `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(70_000)}${end}`;
      const service = await fixtures.raw(answering(() => text));
      const rig = await fixtures.rig({ service: service.port });
      expect((await rig.request(GET)).text).toMatch(/^HTTP\/1.1 502 /);
    }
  });

  it("that switches protocols without being asked, or to none, is a 502", async () => {
    const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    const asking = GET.replace("\r\n\r\n", `\r\n${upgrade}\r\n`);
    for (const [request, fields] of [
      [GET, ""],
      [GET, upgrade],
      [asking, ""],
      [asking, "Upgrade: websocket\r\n"],
      [asking, "Connection: Upgrade\r\nUpgrade: other\r\n"],
      [asking, "Connection: Upgrade\r\nUpgrade: websocket, other\r\n"],
    ] as const) {
      const service = await fixtures.raw(answering(() => `HTTP/1.1 101 X\r\n${fields}\r\n`));
      const rig = await fixtures.rig({ service: service.port });
      expect((await rig.request(request)).text).toMatch(/^HTTP\/1.1 502 /);
    }
  });

  it("must be the last thing: a connection with more bytes after it isn't reused", async () => {
    const service = await fixtures.raw(
      answering(() => `${OK}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`),
    );
    const rig = await fixtures.rig({ service: service.port });
    expect((await rig.request(GET)).text).toBe(OK);
    expect((await rig.request(GET)).text).toBe(OK);
    expect(service.connections.length).toBe(2);
  });
});
