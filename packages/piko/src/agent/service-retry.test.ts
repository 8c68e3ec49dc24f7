// Requests that meet the end of a kept-alive connection to a service: which are retried, and which must not be.

import { afterEach, describe, expect, it } from "vitest";
import { received, Fixtures } from "../../test/agent-rig.js";

const fixtures = new Fixtures();

afterEach(() => fixtures.dispose());

const GET = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNREACHABLE = '{"error":"upstream unreachable","endpoint":"my-endpoint","reason":"';

describe("a request that meets the end of a used connection", () => {
  // The service closes each connection when the second request arrives, as if it had done so a moment earlier.
  const closingOnSecond = () => {
    let requests = 0;
    const service = fixtures.raw((socket, index) => {
      let requestsOnSocket = 0;
      socket.on("data", () => {
        requests++;
        if (++requestsOnSocket === 1) socket.write(OK);
        else if (index === 0) socket.destroy();
        else socket.write(OK);
      });
    });
    return { service, requests: () => requests };
  };

  it.each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])("is retried on a new one: %s", async (method) => {
    const { service, requests } = closingOnSecond();
    const { port } = await service;
    const rig = await fixtures.rig({ service: port });
    await rig.request(GET);
    expect((await rig.request(GET.replace("GET", method))).text).toContain("200 OK");
    expect(requests()).toBe(3);
    expect(rig.metrics.inFlight).toBe(0);
  });

  it("is retried with its body", async () => {
    const bodies: string[] = [];
    const service = await fixtures.raw((socket, index) => {
      socket.on("data", (data) => {
        if (data.toString().startsWith("PUT")) {
          bodies.push(data.toString().slice(-4));
          if (index === 0) return void socket.destroy();
        }
        socket.write(OK);
      });
    });
    const rig = await fixtures.rig({ service: service.port });
    await rig.request(GET);
    expect((await rig.request(POST.replace("POST", "PUT"))).text).toBe(OK);
    expect(bodies).toEqual(["body", "body"]);
  });

  it("is answered with 502 if it isn't idempotent", async () => {
    const { service, requests } = closingOnSecond();
    const rig = await fixtures.rig({ service: (await service).port });
    await rig.request(GET);
    expect((await rig.request(POST)).text).toContain(UNREACHABLE);
    expect(requests()).toBe(2);
  });

  it("is answered with 502 if a part of the response had arrived", async () => {
    const service = await fixtures.raw((socket) => {
      let requestsOnSocket = 0;
      socket.on("data", () => {
        if (++requestsOnSocket === 1) socket.write(OK);
        else socket.end("HTTP/1.1 200 O");
      });
    });
    const rig = await fixtures.rig({ service: service.port });
    await rig.request(GET);
    expect((await rig.request(GET)).text).toContain(UNREACHABLE);
    expect(service.connections.length).toBe(1);
  });

  it("is retried only once", async () => {
    const service = await fixtures.raw((socket, index) => {
      let requestsOnSocket = 0;
      socket.on("data", () => {
        if (index === 0 && ++requestsOnSocket === 1) socket.write(OK);
        else socket.destroy();
      });
    });
    const rig = await fixtures.rig({ service: service.port });
    await rig.request(GET);
    expect((await rig.request(GET)).text).toContain(UNREACHABLE);
    expect(service.connections.length).toBe(2);
  });
});

describe("a request that can't be retried", () => {
  /** Makes two requests, with `gapMs` of wall clock time from the sending of the first one to the second one. */
  const connectionsOf = async (
    method: string,
    gapMs: number,
    first: "read at once" | "read at the end",
  ): Promise<number> => {
    let wallMs = 1_000_000;
    const service = await fixtures.raw((socket) => {
      socket.on("data", (data) => {
        // The response is read at the end of the gap, as if this process had been suspended.
        if (first === "read at the end" && data.toString().startsWith("GET")) wallMs += gapMs;
        socket.write(OK);
      });
    });
    const rig = await fixtures.rig({ service: service.port, wallNow: () => wallMs });
    await rig.request(GET);
    if (first === "read at once") wallMs += gapMs;
    expect((await rig.request(POST.replace("POST", method))).text).toBe(OK);
    expect(rig.pool.idleCount).toBe(1);
    return service.connections.length;
  };

  it.each([
    ["is used", 999, 1],
    ["is replaced by a new one", 1_000, 2],
    ["is replaced by a new one", 60_000, 2],
    ["is replaced by a new one, since the clock was turned back,", -5_000, 2],
  ])("treats a kept connection by its age: it %s after %d ms", async (_what, gapMs, connections) => {
    expect(await connectionsOf("POST", gapMs, "read at once")).toBe(connections);
    expect(await connectionsOf("PATCH", gapMs, "read at once")).toBe(connections);
    expect(await connectionsOf("PUT", gapMs, "read at once")).toBe(1);
  });

  it.each([
    ["a body that is kept", "Content-Length: 4\r\n\r\nbody", 1],
    ["a body that is too long to be kept", `Content-Length: 20000\r\n\r\n${"b".repeat(20_000)}`, 2],
    ["a body of unknown length", "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", 2],
  ])("may be a PUT: with %s", async (_what, rest, connections) => {
    let wallMs = 1_000_000;
    const service = await fixtures.raw((socket) => {
      let text = "";
      socket.on("data", (data) => {
        text += data.toString("latin1");
        if (!/(^GET[^]*\r\n\r\n|\r\n\r\n(body|b{20000})|\r\n0\r\n\r\n)$/.test(text)) return;
        text = "";
        socket.write(OK);
      });
    });
    const rig = await fixtures.rig({ service: service.port, wallNow: () => wallMs });
    await rig.request(GET);
    wallMs += 1_000;
    expect((await rig.request(`PUT / HTTP/1.1\r\nHost: h\r\n${rest}`)).text).toContain("200 OK");
    expect(service.connections.length).toBe(connections);
  });

  it("counts from the last request, since the time of the response isn't known", async () => {
    expect(await connectionsOf("POST", 1_000, "read at the end")).toBe(2);
  });

  it("counts from the end of an upload", async () => {
    let wallMs = 1_000_000;
    const service = await fixtures.raw((socket) => {
      socket.on("data", (data) => {
        if (/(body|x)$/.test(data.toString())) socket.write(OK);
      });
    });
    const rig = await fixtures.rig({ service: service.port, wallNow: () => wallMs });
    const upload = rig.open().write("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n");
    await received(await service.connection(0), (text) => text.endsWith("\r\n\r\n"));
    wallMs += 60_000;
    await upload.write("x").over();
    expect((await rig.request(POST)).text).toBe(OK);
    expect(service.connections.length).toBe(1);
  });
});
