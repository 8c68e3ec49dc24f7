import { once } from "node:events";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { PatternChecker, PatternSource } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { defer, piko, tearDown } from "../test/per-test.js";
import { collect, destroyed } from "../test/streams.js";
import { dial } from "./dial.js";
import type { EndpointSocket } from "./endpoint-socket.js";
import { listen } from "./listen.js";
import type { DialOptions, ListenOptions } from "./options.js";

afterEach(tearDown);

interface Pair {
  client: EndpointSocket;
  service: EndpointSocket;
}

/** The two ends of one connection through a tunnel. */
async function pair(options: { dial?: DialOptions; listen?: ListenOptions } = {}): Promise<Pair> {
  const server = await piko();
  const listener = await listen("e", { ...options.listen, url: server.url });
  defer(() => listener.close({ graceMs: 0 }));
  const [service, client] = await Promise.all([
    listener.accept(),
    dial("e", { ...options.dial, url: server.url }),
  ]);
  defer(() => client.destroy());
  return { client, service };
}

const BULK_BYTES = 10 * 1024 * 1024;

async function check(source: EndpointSocket, seed: number, totalBytes = BULK_BYTES): Promise<void> {
  const checker = new PatternChecker(seed);
  source.on("data", (piece: Buffer) => checker.update(piece));
  await once(source, "end");
  checker.assertComplete(totalBytes);
}

describe("EndpointSocket", () => {
  it("carries bytes in both directions, and has its addresses", async () => {
    const { client, service } = await pair();
    client.write("ping");
    expect(String((await once(service, "data"))[0])).toBe("ping");
    service.write("pong");
    expect(String((await once(client, "data"))[0])).toBe("pong");
    expect(client.endpointId).toBe("e");
    expect(service.endpointId).toBe("e");
    expect(service.remoteAddress).toBe("127.0.0.1");
    expect(service.remotePort).toBeGreaterThan(0);
  });

  it("has the properties and methods of a net.Socket", async () => {
    const { client, service } = await pair({
      dial: { allowHalfOpen: true },
      listen: { allowHalfOpen: true },
    });
    client.write("ping");
    await once(service, "data");
    expect([client.bytesWritten, service.bytesRead, service.bytesWritten]).toEqual([4, 4, 0]);
    expect([client.connecting, client.pending, client.readyState]).toEqual([false, false, "open"]);
    expect(client.address()).toEqual({ address: "127.0.0.1", family: "IPv4", port: client.localPort });
    expect([client.remoteFamily, client.timeout]).toEqual(["IPv4", undefined]);
    expect(client.setTimeout(5_000).timeout).toBe(5_000);
    expect(client.setTimeout(0).timeout).toBeUndefined();
    client.end();
    await once(service.resume(), "end");
    expect([client.readyState, service.readyState]).toEqual(["readOnly", "writeOnly"]);
    service.end();
    await once(client.resume(), "end");
    client.resetAndDestroy();
    expect(client.readyState).toBe("closed");
  });

  it("is cut by resetAndDestroy, even after its end", async () => {
    const { client, service } = await pair({ listen: { allowHalfOpen: true } });
    client.end("all");
    await once(client, "finish");
    client.resetAndDestroy();
    service.resume();
    expect(await destroyed(service)).toMatchObject({ code: "PIKO_CLIENT_RESET" });
  });

  it("is destroyed by the signal with which it was dialled", async () => {
    const stop = new AbortController();
    const { client, service } = await pair({ dial: { signal: stop.signal } });
    client.write("ping");
    await once(service, "data");
    const cut = destroyed(service);
    stop.abort();
    expect(await destroyed(client)).toMatchObject({ name: "AbortError" });
    expect(await cut).toMatchObject({ code: "PIKO_CLIENT_RESET" });
  });

  it.each(["client", "service"] as const)("carries 10 MiB from the %s, byte for byte", async (from) => {
    const ends = await pair();
    const [source, sink] = from === "client" ? [ends.client, ends.service] : [ends.service, ends.client];
    await Promise.all([
      pipeline(Readable.from(new PatternSource(BULK_BYTES, 3)), source, { end: false }).then(() =>
        source.end(),
      ),
      check(sink, 3),
    ]);
  });

  it("carries 10 MiB in both directions at once", async () => {
    const { client, service } = await pair({
      dial: { allowHalfOpen: true },
      listen: { allowHalfOpen: true },
    });
    const send = async (to: EndpointSocket, seed: number): Promise<void> => {
      for (const piece of new PatternSource(BULK_BYTES, seed)) if (!to.write(piece)) await once(to, "drain");
      to.end();
    };
    await Promise.all([send(client, 1), send(service, 2), check(service, 1), check(client, 2)]);
  });

  it("accepts only a few windows while no one reads, and everything once someone does", async () => {
    for (const from of ["client", "service"] as const) {
      const ends = await pair();
      const [source, sink] = from === "client" ? [ends.client, ends.service] : [ends.service, ends.client];
      const pieces = new PatternSource(64 * 1024 * 1024, 5);
      let sent = 0;
      // The size of the kernel's buffers isn't known: continue until nothing moves for a number of event-loop turns.
      for (let idle = 0; idle < 500; idle++) {
        if (!source.writableNeedDrain) {
          const piece = pieces.next();
          if (piece === undefined) break;
          source.write(piece);
          sent += piece.length;
          idle = 0;
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(sent).toBeLessThan(32 * 1024 * 1024);
      source.end();
      await check(sink, 5, sent);
    }
  });

  it("delivers everything written before the end, whichever side ends and destroys", async () => {
    for (const from of ["client", "service"] as const) {
      const ends = await pair();
      const [source, sink] = from === "client" ? [ends.client, ends.service] : [ends.service, ends.client];
      source.end(Buffer.alloc(2_000_000, "x"));
      source.once("finish", () => source.destroy());
      expect((await collect(sink)).length).toBe(2_000_000);
    }
  });

  it("keeps the other direction open after an end, if both sides want that", async () => {
    const { client, service } = await pair({
      dial: { allowHalfOpen: true },
      listen: { allowHalfOpen: true },
    });
    client.end("question");
    expect(String(await collect(service))).toBe("question");
    service.end("answer");
    expect(String(await collect(client))).toBe("answer");
  });

  it("answers an end with an end by default", async () => {
    const { client, service } = await pair();
    service.resume();
    client.resume();
    client.end();
    expect(await Promise.all([destroyed(client), destroyed(service)])).toEqual([null, null]);
  });

  it("shows a destroyed connection to the peer as a reset, without an uncaught error", async () => {
    for (const from of ["client", "service"] as const) {
      const ends = await pair();
      const [source, sink] = from === "client" ? [ends.client, ends.service] : [ends.service, ends.client];
      source.write("some");
      source.destroy();
      sink.resume();
      expect(await destroyed(sink)).toMatchObject({ code: "PIKO_CLIENT_RESET", retryable: true });
    }
  });

  it("destroys connections that are lost with their tunnel", async () => {
    const server = await piko();
    const listener = await listen("e", { url: server.url });
    defer(() => listener.close({ graceMs: 0 }));
    const [service, client] = await Promise.all([listener.accept(), dial("e", { url: server.url })]);
    server.tunnel("e")?.socket.reset();
    for (const error of await Promise.all([destroyed(service), destroyed(client)])) {
      expect(error).toMatchObject({ code: "PIKO_CLIENT_RESET" });
    }
  });

  it("emits timeout when no bytes are transferred", async () => {
    const { client } = await pair();
    await new Promise<void>((resolve) => {
      client.setTimeout(5, resolve);
    });
    expect(client.destroyed).toBe(false);
    client.setTimeout(0);
  });
});

describe("dial", () => {
  it("rejects with 502 when there is no listener", async () => {
    const server = await piko();
    await expect(dial("e", { url: server.url })).rejects.toMatchObject({
      code: "PIKO_CLIENT_REFUSED",
      status: 502,
      message: "502: no available upstreams",
      retryable: true,
    });
  });

  it("rejects for an unreachable server, an invalid id, and a signal", async () => {
    await expect(dial("e", { url: "http://127.0.0.1:1" })).rejects.toMatchObject({
      code: "PIKO_CLIENT_CONNECT",
    });
    await expect(dial("a/b")).rejects.toMatchObject({ code: "PIKO_CLIENT_BAD_OPTION" });
    await expect(dial("e", { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
  });

  it("sends the token and no tenant", async () => {
    const server = await piko();
    await dial("e x".replace(" ", "%"), { url: server.url, token: "t" }).catch(() => {});
    expect(server.requests[0]?.target).toBe("/_piko/v1/tcp/e%25x");
    expect(server.requests[0]?.headers.get("authorization")).toBe("Bearer t");
  });
});
