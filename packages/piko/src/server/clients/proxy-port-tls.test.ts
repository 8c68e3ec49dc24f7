// The proxy port with TLS: its clients' protocols, its limits, and clients whose certificates are no longer accepted.

import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CertificateWorkshop } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import {
  DATA,
  frame,
  framesOf,
  GET_FIELDS,
  GOAWAY,
  headers,
  PREFACE,
  SETTINGS,
  uint32,
} from "../../../test/h2-peer.js";
import { GET, statusOf } from "../../../test/node-rigs.js";
import { eventually } from "../../../test/port-peer.js";
import { OK, type ProxyRig, type ProxyRigOptions, proxyRigs } from "../../../test/proxy-rig.js";
import type { ServerTlsConfig } from "../../config/server-tls.js";
import { OpenFiles } from "../../net/accept/open-files.js";

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const authority = workshop.authority("ca");
const pair = workshop.sign(authority, "node");
const ca = readFileSync(authority.cert, "utf8");

const create = proxyRigs();

const start = (options: ProxyRigOptions = {}, tls: Partial<ServerTlsConfig> = {}): Promise<ProxyRig> =>
  create({ ...options, tls: { ...pair, ...tls } });

/** What an HTTP/2 client sends for a GET. */
const H2_GET = PREFACE + frame(SETTINGS, 0, 0) + headers(1, GET_FIELDS);

describe("a port with TLS", () => {
  it("passes on the client's address and https to the service", async () => {
    const rig = await start();
    const written = await rig.exchange(await rig.secure({ ca }));
    expect(written).toContain("X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n");
    expect([rig.port.connectionCount, rig.port.highestClientCount]).toEqual([1, 1]);
  });

  it("uses the protocol of the handshake, and prefers HTTP/2 to HTTP/1.1", async () => {
    const rig = await start();
    const both = await rig.secure({ ca, protocols: ["http/1.1", "h2"] });
    expect(both.protocol).toBe("h2");
    both.send(H2_GET);
    await eventually(() => rig.node.asked === 1);
    expect(rig.node.stream.written).toMatch(/^GET \/x HTTP\/1\.1\r\n.*X-Forwarded-Proto: https\r\n/s);
    rig.node.stream.deliver(OK);
    await both.until(({ text }) => text.endsWith("ok"));
    expect(framesOf(both.text).at(-1)).toMatchObject({ type: DATA, streamId: 1, payload: "ok" });
    // A client that has chosen HTTP/1.1 can't continue with HTTP/2.
    const other = await rig.secure({ ca });
    expect(other.protocol).toBe("http/1.1");
    expect(statusOf(await other.send(H2_GET).over())).toBe("400");
  });

  it("offers only HTTP/1.1 if HTTP/2 is off", async () => {
    const rig = await start({ http2: false });
    const peer = await rig.secure({ ca, protocols: ["h2", "http/1.1"] });
    expect(peer.protocol).toBe("http/1.1");
    await rig.exchange(peer);
  });

  it("accepts plain clients too if TLS is optional, up to the same limit", async () => {
    const rig = await start({ limits: { maxConnections: 2 } }, { mode: "optional" });
    const plain = await rig.connect();
    expect(await rig.exchange(plain)).toContain("X-Forwarded-Proto: http\r\n");
    expect(await rig.exchange(await rig.secure({ ca }))).toContain("X-Forwarded-Proto: https\r\n");
    expect(statusOf(await (await rig.connect()).send(GET).over())).toBe("503");
    expect(rig.node.hits).toEqual(["max_connections"]);
  });

  it("closes connections without a response when the process is short of file descriptors", async () => {
    const rig = await start({ dependencies: { files: new OpenFiles(64) } });
    expect(await (await rig.connect()).send("G").over()).toBe("");
    expect([rig.node.hits, rig.port.connectionCount]).toEqual([["open_files"], 0]);
  });

  it.each<[string, ProxyRigOptions]>([
    ["trusted proxies", { trustedProxies: ["127.0.0.1"] }],
    ["nodes", { nodes: ["127.0.0.1:8000"] }],
  ])("limits handshakes per address, but not for %s, which carry many clients", async (_title, many) => {
    const rig = await start({}, { maxHandshakesPerClient: 1 });
    await rig.client();
    await (await rig.connect()).over();
    expect([...(rig.port.tls?.refused ?? [])]).toEqual([["max_handshakes_per_client", 1]]);
    const free = await start(many, { maxHandshakesPerClient: 1 });
    await free.client();
    await free.client();
    expect(free.port.connectionCount).toBe(2);
  });

  it("refuses an HTTP/2 client above its limit, which can't be another node", async () => {
    const cluster = { hopSecret: Buffer.from("secret"), table: { nodes: () => [] } };
    const rig = await start({
      limits: { maxConnectionsPerClient: 1 },
      dependencies: { cluster: cluster as never },
    });
    await rig.exchange(await rig.secure({ ca }));
    const peer = await rig.secure({ ca, protocols: ["h2"] });
    // In HTTP/2: settings, then GOAWAY with error 11 (ENHANCE_YOUR_CALM) and no stream processed.
    expect(framesOf(await peer.send(H2_GET).over())).toEqual([
      { type: SETTINGS, flags: 0, streamId: 0, payload: "" },
      {
        type: GOAWAY,
        flags: 0,
        streamId: 0,
        payload: `${uint32(0)}${uint32(11)}too many connections from this address`,
      },
    ]);
    expect(rig.node.hits).toEqual(["max_connections_per_client"]);
    expect(rig.node.asked).toBe(1);
  });
});

describe("clients whose certificate authority is removed", () => {
  const theirs = workshop.authority("theirs");
  const sign = (issuer: typeof authority, name: string): { cert: Buffer; key: Buffer } => {
    const { cert, key } = workshop.sign(issuer, name, { usage: "clientAuth" });
    return { cert: readFileSync(cert), key: readFileSync(key) };
  };
  const kept = sign(authority, "kept");
  const gone = sign(theirs, "gone");

  it("may finish requests in progress, but not send more; other clients stay", async () => {
    const clientCas = join(workshop.directory, "client-cas.crt");
    writeFileSync(clientCas, ca + readFileSync(theirs.cert, "utf8"));
    const rig = await start({}, { clientCas });
    const other = await rig.secure({ ca, ...kept });
    await rig.exchange(other);
    const idle = await rig.secure({ ca, ...gone });
    await rig.exchange(idle);
    const busy = (await rig.secure({ ca, ...gone })).send(GET);
    await eventually(() => rig.node.asked === 3);
    copyFileSync(authority.cert, clientCas);
    rig.node.clock.advance(10_000);
    expect(await idle.over()).toMatch(/ok$/);
    rig.node.stream.deliver(OK);
    expect(await busy.send(GET).over()).toMatch(/\r\nconnection: close\r\n.*ok$/is);
    await rig.exchange(other);
    expect(rig.node.asked).toBe(4);
  });
});
