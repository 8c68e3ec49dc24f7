import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HostLookup } from "./host-lookup.js";

const TYPES: Readonly<Record<number, string>> = { 1: "A", 28: "AAAA" };
const NXDOMAIN = 3;
const REFUSED = 5;

/** Records by "TYPE name"; a number is an error code, "silence" means no answer. A name without records doesn't exist. */
type Zone = Record<string, readonly string[] | number | "silence">;

/** A name server with one zone that records its queries. */
class NameServer {
  readonly asked: string[] = [];
  zone: Zone = {};
  readonly #socket = createSocket("udp4");

  async listen(): Promise<string> {
    this.#socket.on("message", (query, from) => this.#answer(query, from));
    this.#socket.bind(0, "127.0.0.1");
    await once(this.#socket, "listening");
    return `127.0.0.1:${(this.#socket.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    const closed = once(this.#socket, "close");
    this.#socket.close();
    await closed;
  }

  #answer(query: Buffer, from: RemoteInfo): void {
    const labels: string[] = [];
    let at = 12;
    for (let length = query[at++] ?? 0; length > 0; length = query[at++] ?? 0) {
      labels.push(query.toString("latin1", at, at + length));
      at += length;
    }
    const type = query.readUInt16BE(at);
    const question = query.subarray(12, at + 4);
    const key = `${TYPES[type]} ${labels.join(".").toLowerCase()}`;
    this.asked.push(key);
    const known = Object.keys(this.zone).some((each) => each.split(" ")[1] === key.split(" ")[1]);
    const records = this.zone[key] ?? (known ? [] : NXDOMAIN);
    if (records === "silence") return;
    const answers = typeof records === "number" ? [] : records;
    const head = Buffer.alloc(12);
    query.copy(head, 0, 0, 2);
    head.writeUInt16BE(0x8180 | (typeof records === "number" ? records : 0), 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt16BE(answers.length, 6);
    const packet = [head, question, ...answers.map((hex) => record(type, Buffer.from(hex, "hex")))];
    this.#socket.send(Buffer.concat(packet), from.port, from.address);
  }
}

function record(type: number, data: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

let directory = "";
let server: NameServer;
let lookup: HostLookup;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "piko-lookup-"));
  server = new NameServer();
  const resolvConfPath = join(directory, "resolv.conf");
  await writeFile(resolvConfPath, "search ns.svc svc\noptions ndots:5\n");
  lookup = new HostLookup({
    servers: [await server.listen()],
    hostsPath: join(directory, "hosts"),
    resolvConfPath,
  });
});

afterEach(async () => {
  lookup.close();
  await server.close();
  await rm(directory, { recursive: true });
});

function find(host: string): Promise<readonly string[]> {
  return new Promise((resolve, reject) =>
    lookup.lookup(host, (error, ips) => (error === undefined ? resolve([...ips].sort()) : reject(error))),
  );
}

const ONE = "0a000001";
const TWO = "0a000002";
const SIX = "fd000000000000000000000000000001";

describe.skipIf(process.platform !== "linux")("names", () => {
  it("resolve to all addresses of both families", async () => {
    server.zone = { "A piko.ns.svc": [ONE, TWO], "AAAA piko.ns.svc": [SIX] };
    expect(await find("piko")).toEqual(["10.0.0.1", "10.0.0.2", "fd00::1"]);
    expect(server.asked.toSorted()).toEqual(["A piko.ns.svc", "AAAA piko.ns.svc"]);
  });

  it.each([
    [{ "AAAA piko.ns.svc": [SIX] }, ["fd00::1"]],
    [{ "A piko.svc": [ONE] }, ["10.0.0.1"]],
    [{ "A piko": [ONE] }, ["10.0.0.1"]],
    [{ "A piko.ns.svc": [], "A piko.svc": [TWO] }, ["10.0.0.2"]],
    [{}, []],
    [{ "A piko.ns.svc": [] }, []],
  ] as [Zone, string[]][])("are completed with the search list: %j", async (zone, ips) => {
    server.zone = zone;
    expect(await find("piko")).toEqual(ips);
  });

  it("that end with a dot are complete", async () => {
    server.zone = { "A piko.ns.svc": [ONE] };
    expect(await find("piko.")).toEqual([]);
    expect(server.asked.toSorted()).toEqual(["A piko", "AAAA piko"]);
  });

  it("in the hosts file aren't queried", async () => {
    await writeFile(join(directory, "hosts"), "10.0.0.9 piko\n");
    expect(await find("piko")).toEqual(["10.0.0.9"]);
    expect(server.asked).toEqual([]);
  });

  it("fail if a name server refuses to answer, unless another name has addresses", async () => {
    server.zone = { "A piko.ns.svc": REFUSED, "AAAA piko.ns.svc": REFUSED };
    await expect(find("piko")).rejects.toThrow("EREFUSED");
    server.zone["A piko.svc"] = [ONE];
    expect(await find("piko")).toEqual(["10.0.0.1"]);
  });

  it("don't exist if the completed ones don't, even if there is no answer without a domain", async () => {
    server.zone = { "A piko": REFUSED, "AAAA piko": REFUSED };
    expect(await find("piko")).toEqual([]);
    await expect(find("piko.")).rejects.toThrow("EREFUSED");
  });

  it("don't wait for a family for which the name server doesn't answer", async () => {
    server.zone = { "A piko.ns.svc": [ONE], "AAAA piko.ns.svc": "silence" };
    const start = performance.now();
    expect(await find("piko")).toEqual(["10.0.0.1"]);
    // Repeating the query alone would take ten times as long.
    expect(performance.now() - start).toBeLessThan(5_000);
  });

  it("are queried once for all concurrent lookups", async () => {
    server.zone = { "A piko.ns.svc": [ONE] };
    expect(await Promise.all([find("piko"), find("piko"), find("piko")])).toEqual([
      ["10.0.0.1"],
      ["10.0.0.1"],
      ["10.0.0.1"],
    ]);
    expect(server.asked).toHaveLength(2);
  });

  it("are queried again when the answer is late", async () => {
    server.zone = { "A piko.ns.svc": "silence", "AAAA piko.ns.svc": "silence" };
    const found = find("piko");
    while (server.asked.length < 3) await new Promise((resolve) => void setTimeout(resolve, 10));
    server.zone = { "A piko.ns.svc": [ONE] };
    expect(await found).toEqual(["10.0.0.1"]);
  });

  it("aren't queried any more once all lookups are cancelled", async () => {
    server.zone = { "A piko.ns.svc": "silence", "AAAA piko.ns.svc": "silence" };
    let called = 0;
    const giveUp = [lookup.lookup("piko", () => called++), lookup.lookup("piko", () => called++)];
    while (server.asked.length < 2) await new Promise((resolve) => void setTimeout(resolve, 10));
    giveUp[0]?.();
    server.zone = { "A piko.ns.svc": [ONE] };
    expect(await find("piko")).toEqual(["10.0.0.1"]);
    expect(called).toBe(1);
    server.zone = { "A piko.ns.svc": "silence", "AAAA piko.ns.svc": "silence" };
    const asked = server.asked.length;
    const last = lookup.lookup("piko", () => called++);
    while (server.asked.length < asked + 2) await new Promise((resolve) => void setTimeout(resolve, 10));
    last();
    server.zone = { "A other.ns.svc": [TWO] };
    expect(await find("other")).toEqual(["10.0.0.2"]);
    // Otherwise its next names would be queried.
    expect(server.asked.some((each) => each.endsWith("piko.svc"))).toBe(false);
    expect(called).toBe(1);
  });

  it.each([
    ["localhost", ["127.0.0.1", "::1"]],
    ["LOCALHOST.", ["127.0.0.1", "::1"]],
    ["app.localhost", ["127.0.0.1", "::1"]],
    ["db.localhost", ["10.0.0.9"]],
  ])("%s needs no name server", async (name, ips) => {
    await writeFile(join(directory, "hosts"), "10.0.0.9 db.localhost\n");
    expect(await find(name)).toEqual(ips);
    expect(server.asked).toEqual([]);
  });

  it("call no callback after close", async () => {
    server.zone = { "A piko.ns.svc": "silence", "AAAA piko.ns.svc": "silence" };
    let called = 0;
    lookup.lookup("piko", () => called++);
    while (server.asked.length < 2) await new Promise((resolve) => void setTimeout(resolve, 10));
    lookup.close();
    await expect(find("piko")).rejects.toThrow("lookup of piko: closed");
    expect(called).toBe(0);
  });
});
