// An authority is removed while connections with its certificates are open: tunnels of our agents and of Go's, clients of the
// proxy port, other nodes, the admin port. Nothing new begins on these connections, and what is in progress gets its grace period.

import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { type ClientRequest, request } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import type { KeyPair } from "@piko/testkit";
import { beforeEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { untilEndpoints } from "../harness/cluster.js";
import { eventually, within } from "../harness/deadline.js";
import { haveGo, startGoAgent } from "../harness/go-peer.js";
import {
  goTlsFlags,
  MutualTls,
  type Port,
  tlsFlags,
  tlsOptions,
  type TlsSide,
} from "../harness/mutual-tls.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { startEchoService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { startTrafficService } from "../harness/traffic-service.js";

const scene = perTest();
const GONE = "upstream certificate is no longer valid";

let tls: MutualTls;
/** An authority that is trusted throughout. */
let stays: KeyPair;
/** A client's files; at first they hold a certificate of the authority that is removed. */
let files: TlsSide;
let cas = "";

beforeEach(async () => {
  tls = new MutualTls(scene);
  stays = tls.workshop.authority("stays");
  const directory = await scene.directory();
  cas = join(directory, "cas.pem");
  trust(tls.ca, stays);
  files = { cas: tls.ca.cert, cert: join(directory, "own.crt"), key: join(directory, "own.key") };
  show(tls.client);
});

/** Sets the authorities whose client certificates servers accept. */
function trust(...authorities: readonly KeyPair[]): void {
  writeFileSync(cas, authorities.map(({ cert }) => readFileSync(cert, "utf8")).join(""));
}

/** Replaces the client's certificate and key. */
function show({ cert, key }: KeyPair): void {
  copyFileSync(key, files.key);
  copyFileSync(cert, files.cert);
}

/** Starts a server that checks its files often. */
async function start(ports: readonly Port[], flags: Record<string, string> = {}): Promise<RunningServer> {
  const own = { ...tls.server, cas };
  const often = Object.fromEntries(ports.map((port) => [`${port}.tls.reload-interval`, "100ms"]));
  return await startServer(scene, { ...tls.flags(ports, own, files), ...often, ...flags });
}

/** A request to /echo whose body the test sends in pieces. */
class Echo {
  readonly outgoing: ClientRequest;
  #text = "";
  #end: string | undefined;

  constructor(server: RunningServer) {
    const [host, port] = server.proxy.split(":");
    const headers = { "x-piko-endpoint": "web", "transfer-encoding": "chunked" };
    this.outgoing = request({ host, port, method: "POST", path: "/echo", headers }, (response) => {
      response.setEncoding("latin1");
      response.on("data", (piece: string) => (this.#text += piece));
      response.on("end", () => (this.#end = "whole"));
      response.on("error", () => (this.#end ??= "cut"));
    });
    this.outgoing.on("error", () => (this.#end ??= "cut"));
  }

  /** Sends a piece, and waits until it is echoed. */
  async pass(piece: string): Promise<void> {
    const text = this.#text + piece;
    this.outgoing.write(piece);
    await eventually(() => this.#text === text, `${piece} back`);
  }

  /** How the response ended: `whole` or `cut`. */
  end(): Promise<string> {
    return eventually(() => this.#end, "an end");
  }
}

/** A WebSocket from a client with a certificate, whose messages are echoed. */
class Echoes {
  readonly #socket: WebSocket;
  readonly #opened: Promise<string>;

  constructor(url: string, side: TlsSide) {
    this.#socket = new WebSocket(url, { headers: { "x-piko-endpoint": "web" }, ...tlsOptions(side) });
    scene.defer(() => this.#socket.terminate());
    this.#opened = new Promise((resolve) => {
      this.#socket.once("open", () => resolve(""));
      this.#socket.on("error", (error) => resolve(String(error)));
    });
  }

  /** Why it failed to open; empty if it is open. */
  failure(): Promise<string> {
    return within(this.#opened, "an answer");
  }

  /** Sends a message, and waits until it is echoed. */
  async pass(text: string): Promise<void> {
    expect(await this.failure()).toBe("");
    const back = new Promise<string>((resolve, reject) => {
      this.#socket.once("message", (bytes: Buffer) => resolve(bytes.toString("latin1")));
      this.#socket.once("close", (code) => reject(new Error(`closed with ${code}`)));
    });
    this.#socket.send(Buffer.from(text));
    expect(await within(back, `${text} back`)).toBe(text);
  }
}

async function ask(server: RunningServer): Promise<number> {
  const response = await fetch(`http://${server.proxy}/item?i=1`, { headers: { "x-piko-endpoint": "web" } });
  await response.arrayBuffer();
  return response.status;
}

function audited(server: RunningServer, what: string): readonly Record<string, unknown>[] {
  const lines = server.program.lines.map(({ fields }) => fields);
  return lines.filter((fields) => fields["subsystem"] === "audit" && fields["msg"] === what);
}

describe("a tunnel", () => {
  it("of our agent gets no more requests, finishes those in progress, and is reopened with another certificate", async () => {
    const service = await Service.start(scene);
    const server = await start(["upstream"], { "upstream.auth.expiry-grace": "40s" });
    // With one tunnel only: in search of a second node, the agent might connect to this one again.
    const connect = { flags: [...tlsFlags("connect", files), "--connect.tunnels", "1"] };
    await startAgent(scene, `https://${server.upstream}`, "web", service.addr, connect);
    const echo = new Echo(server);
    await echo.pass("before");
    show(tls.workshop.sign(stays, "newer", { usage: "clientAuth" }));
    trust(stays);
    await server.program.waitFor(GONE);
    await eventually(async () => (await ask(server)) === 200, "an answer by the new tunnel");
    await echo.pass("after");
    echo.outgoing.end();
    expect(await echo.end()).toBe("whole");
    expect(audited(server, "opened")).toMatchObject([
      { "endpoint-id": "web", "client-certificate": "CN=client" },
      { "endpoint-id": "web", "client-certificate": "CN=newer" },
    ]);
    expect(audited(server, "lost")).toMatchObject([
      { "client-certificate": "CN=client", reason: "certificate no longer trusted" },
    ]);
  });

  it.each(["ours", ...(haveGo ? ["Go's"] : [])])(
    "of an agent (%s) with no other certificate gets no more requests, and those in progress are cut after the grace period",
    async (kind) => {
      const service = await Service.start(scene);
      const server = await start(["upstream"], {
        "upstream.auth.expiry-grace": "2s",
        "proxy.reconnect-wait": "200ms",
      });
      const url = `https://${server.upstream}`;
      const agent =
        kind === "ours"
          ? await startAgent(scene, url, "web", service.addr, { flags: tlsFlags("connect", files) })
          : await startGoAgent(scene, url, "web", service.addr, goTlsFlags(files));
      const echo = new Echo(server);
      await echo.pass("before");
      expect(await ask(server)).toBe(200);
      trust(stays);
      await server.program.waitFor(GONE);
      expect(await ask(server)).toBe(502);
      await echo.pass("after");
      expect(await echo.end()).toBe("cut");
      // The agent keeps trying.
      await eventually(async () => (await refusedFor(server)) > 1, "refusals of its certificate");
      expect(await ask(server)).toBe(502);
      expect(agent.exit).toBeUndefined();
    },
  );

  it("with a certificate of another authority stays open", async () => {
    const service = await Service.start(scene);
    const server = await start(["upstream"]);
    show(tls.workshop.sign(stays, "other", { usage: "clientAuth" }));
    const connect = { flags: tlsFlags("connect", files) };
    await startAgent(scene, `https://${server.upstream}`, "web", service.addr, connect);
    trust(stays);
    await server.program.waitFor("certificates read again");
    expect(await ask(server)).toBe(200);
    expect(audited(server, "lost")).toEqual([]);
    expect(audited(server, "opened")).toHaveLength(1);
  });
});

async function refusedFor({ admin }: RunningServer, port = "upstream"): Promise<number> {
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  const series = new RegExp(`^piko_tls_refused_total\\{port="${port}",reason="certificate"\\} (\\d+)$`, "m");
  return Number(series.exec(text)?.[1] ?? 0);
}

describe("a connection to the proxy port", () => {
  it("ends at once if it is idle, otherwise after its response", async () => {
    const service = await Service.start(scene);
    const server = await start(["proxy"]);
    await startAgent(scene, server.upstream, "web", service.addr);
    const [host, port] = server.proxy.split(":");
    /** Begins a request on a keep-alive connection of its own. */
    const begin = (path: string) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1, ...tlsOptions(files) });
      scene.defer(() => agent.destroy());
      const outgoing = httpsRequest({ host, port, path, agent, headers: { "x-piko-endpoint": "web" } });
      const over = { whole: false, closed: false };
      const text = { value: "" };
      outgoing.on("socket", (socket) => socket.once("close", () => (over.closed = true)));
      outgoing.on("response", (response) => {
        response.on("data", (bytes: Buffer) => (text.value += bytes.toString("latin1")));
        response.on("end", () => (over.whole = true));
      });
      outgoing.end();
      return { over, text };
    };
    const idle = begin("/item?i=1");
    await eventually(() => idle.over.whole, "an answer");
    const busy = begin("/events?count=30&ms=100");
    await eventually(() => busy.text.value.includes("id: 0"), "an event");
    expect(idle.over.closed).toBe(false);
    trust(stays);
    await eventually(() => idle.over.closed, "the end of the idle one");
    await eventually(() => busy.over.whole, "the whole response");
    expect(busy.text.value).toContain("id: 29");
    await eventually(() => busy.over.closed, "the end of the other one");
  });

  it("stays open for a WebSocket or TCP connection, which counts as one request; new ones are refused", async () => {
    const server = await start(["proxy"]);
    await startAgent(scene, server.upstream, "web", await startTrafficService(scene));
    const { addr } = await startEchoService(scene);
    await startAgent(scene, server.upstream, "bytes", addr, { mode: "tcp" });
    const open = (path: string): Echoes => new Echoes(`wss://${server.proxy}${path}`, files);
    const standing = [open("/ws"), open("/_piko/v1/tcp/bytes")];
    for (const each of standing) await each.pass("before");
    trust(stays);
    await server.program.waitFor("certificates read again");
    expect(await open("/ws").failure()).toMatch(/alert|ECONNRESET|EPIPE|hang up/);
    for (const each of standing) await each.pass("after");
  });

  it("of another node ends too: it can't forward requests until it has another certificate", async () => {
    const service = await Service.start(scene);
    const owner = await start(["proxy"], { "cluster.node-id": "owner" });
    await startAgent(scene, owner.upstream, "web", service.addr);
    const join = { "cluster.join": owner.gossip, "proxy.tls.mode": "optional" };
    const other = await start(["proxy"], join);
    await untilEndpoints(other, "owner", 1);
    expect(await ask(other)).toBe(200);
    trust(stays);
    await owner.program.waitFor("certificates read again");
    expect(await ask(other)).toBe(502);
    show(tls.workshop.sign(stays, "newer", { usage: "clientAuth" }));
    await eventually(async () => (await ask(other)) === 200, "an answer by another certificate");
  });
});

it("a connection to the admin port ends", async () => {
  const server = await start(["admin"]);
  const [host, port] = server.admin.split(":");
  const socket = connectTls({ host, port: Number(port), ...tlsOptions(files) });
  scene.defer(() => void socket.destroy());
  let text = "";
  socket.on("data", (bytes: Buffer) => (text += bytes.toString("latin1")));
  const closed = new Promise<void>((resolve) => void socket.once("close", () => resolve()));
  const ask = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";
  socket.write(ask);
  await eventually(() => text.includes("200 OK"), "an answer");
  trust(stays);
  // Well before the five-second idle timeout, which each request restarts.
  await server.program.waitFor("certificates read again");
  await within(closed, "its end", 3_000);
});
