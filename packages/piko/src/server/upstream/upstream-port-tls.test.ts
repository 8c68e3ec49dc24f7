// The upstream port with TLS: which agents are accepted, limits on handshakes, and how others are refused.

import { once } from "node:events";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { CertificateWorkshop, type KeyPair } from "@piko/testkit";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { eventually } from "../../../test/port-peer.js";
import { UpstreamRig, type UpstreamRigOptions, upgradeRequest } from "../../../test/upstream-rig.js";
import type { ServerTlsConfig } from "../../config/server-tls.js";
import { OpenFiles } from "../../net/accept/open-files.js";

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const authority = workshop.authority("ca");
const pair = workshop.sign(authority, "node");
const ca = readFileSync(authority.cert, "utf8");
const theirs = workshop.authority("theirs");

/** Creates an agent's certificate. */
function sign(issuer: KeyPair, name: string): { cert: Buffer; key: Buffer } {
  const { cert, key } = workshop.sign(issuer, name, { usage: "clientAuth" });
  return { cert: readFileSync(cert), key: readFileSync(key) };
}
const kept = sign(authority, "kept");
const gone = sign(theirs, "gone");

let rig: UpstreamRig | undefined;
let secured: TLSSocket[] = [];

afterEach(async () => {
  const last = rig;
  rig = undefined;
  for (const socket of secured.splice(0)) socket.destroy();
  // The port ends its tunnels and stops watching its files.
  last?.port.close();
  await last?.[Symbol.asyncDispose]();
  expect([last?.budget.used, last?.port.highestClientCount]).toEqual([0, 0]);
  last?.clock.assertIdle();
});

async function start(
  options: UpstreamRigOptions = {},
  tls: Partial<ServerTlsConfig> = {},
): Promise<UpstreamRig> {
  rig = await UpstreamRig.start({ ...options, tls: { ...pair, ...tls } });
  return rig;
}

/** Opens a connection and completes its handshake. */
async function secure(rig: UpstreamRig, shown: Partial<typeof kept> = {}): Promise<TLSSocket> {
  const socket = connectTls({ port: rig.number, host: "127.0.0.1", servername: "localhost", ca, ...shown });
  secured.push(socket);
  await once(socket, "secureConnect");
  return socket;
}

/** Sends a request; resolves to the first bytes of the response. */
async function ask(socket: TLSSocket, request: string): Promise<string> {
  socket.write(request);
  const [bytes] = (await once(socket, "data")) as [Buffer];
  return bytes.toString("latin1");
}

describe("a port with TLS", () => {
  it("accepts agents after their handshake, and then applies the limit per address", async () => {
    const rig = await start({ limits: { maxTunnelsPerClient: 1 } });
    expect(await ask(await secure(rig), upgradeRequest())).toMatch(/^HTTP\/1.1 101 /);
    expect([rig.tunnel.clientIp, rig.port.pendingCount]).toEqual(["127.0.0.1", 0]);
    expect(await ask(await secure(rig), "G")).toMatch(/^HTTP\/1.1 429 /);
    expect(rig.hits).toEqual(["max_tunnels_per_client"]);
  });

  it("counts handshakes as connections without a request", async () => {
    const rig = await start({ limits: { maxPendingConnections: 1 } });
    const silent = await rig.connect();
    await eventually(() => rig.port.pendingCount === 1);
    expect(await (await rig.connect()).over()).toBe("");
    expect(rig.hits).toEqual(["max_pending_connections"]);
    silent.socket.end();
    await eventually(() => rig.port.pendingCount === 0);
    await secure(rig);
  });

  it("limits handshakes per address, except for trusted proxies, which carry many agents", async () => {
    for (const [trustedProxies, refused] of [
      [[], ["max_handshakes_per_client", 1]],
      [["127.0.0.0/8"], undefined],
    ] as const) {
      const rig = await start({ trustedProxies }, { maxHandshakesPerClient: 1 });
      await rig.connect();
      await eventually(() => rig.port.pendingCount === 1);
      const second = await rig.connect();
      if (refused !== undefined) await second.over();
      else await eventually(() => rig.port.pendingCount === 2);
      expect([...(rig.port.tls?.refused ?? [])]).toEqual(refused === undefined ? [] : [refused]);
      rig.port.close();
      await rig[Symbol.asyncDispose]();
    }
  });

  it("closes connections without a response when the process is short of file descriptors", async () => {
    const rig = await start({ files: new OpenFiles(64) });
    expect(await (await rig.connect()).send("G").over()).toBe("");
    expect([rig.hits, rig.port.pendingCount]).toEqual([["open_files"], 0]);
  });

  it("accepts plain agents only if TLS is optional", async () => {
    const optional = await start({}, { mode: "optional" });
    expect((await optional.rawAgent()).text).toMatch(/^HTTP\/1.1 101 /);
    expect(await ask(await secure(optional), upgradeRequest("f"))).toMatch(/^HTTP\/1.1 101 /);
    expect(optional.port.tls?.plain).toBe(1);
    optional.port.close();
    await optional[Symbol.asyncDispose]();
    const required = await start();
    expect(await required.refusal(upgradeRequest())).not.toContain("HTTP/1.1");
    expect(required.announced).toEqual([]);
  });

  it("ends tunnels and pending connections of agents whose certificate authority is removed", async () => {
    const clientCas = join(workshop.directory, "client-cas.crt");
    writeFileSync(clientCas, ca + readFileSync(theirs.cert, "utf8"));
    const rig = await start({}, { clientCas });
    expect(await ask(await secure(rig, kept), upgradeRequest("kept"))).toMatch(/^HTTP\/1.1 101 /);
    const agent = await secure(rig, gone);
    expect(await ask(agent, upgradeRequest("gone"))).toMatch(/^HTTP\/1.1 101 /);
    const early = await secure(rig, gone);
    // The client completes the handshake before the port does.
    await eventually(() => rig.port.pendingCount === 1 && rig.port.tls?.pendingCount === 0);
    copyFileSync(authority.cert, clientCas);
    rig.clock.advance(10_000);
    await eventually(() => rig.port.pendingCount === 0);
    expect(rig.upstreams.find("gone")).toBeUndefined();
    const line = await rig.log.line("upstream certificate is no longer valid");
    expect(line["endpoint-id"]).toBe("gone");
    rig.clock.advance(1_000);
    for (const socket of [agent, early]) if (!socket.readableEnded) await once(socket.resume(), "end");
    expect(rig.tunnels.map(({ endpointId }) => endpointId)).toEqual(["kept"]);
  });

  it("ends handshakes in progress when it stops", async () => {
    const rig = await start();
    const silent = await rig.connect();
    await eventually(() => rig.port.pendingCount === 1);
    rig.port.stopAccepting();
    await silent.over();
    await eventually(() => rig.port.pendingCount === 0);
  });
});
