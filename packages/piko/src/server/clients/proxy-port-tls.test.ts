// The proxy port with TLS: what its clients speak, what they are told, and whose requests it takes no longer.

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

/** What a client of HTTP/2 says to ask for something. */
const H2_GET = PREFACE + frame(SETTINGS, 0, 0) + headers(1, GET_FIELDS);

describe("a port with TLS", () => {
  it("tells the service so, under the client's address", async () => {
    const rig = await start();
    const written = await rig.exchange(await rig.secure({ ca }));
    expect(written).toContain("X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\n");
    expect([rig.port.connectionCount, rig.port.highestClientCount]).toEqual([1, 1]);
  });

  it("speaks what the handshake has chosen, HTTP/2 rather than HTTP/1.1", async () => {
    const rig = await start();
    const both = await rig.secure({ ca, protocols: ["http/1.1", "h2"] });
    expect(both.protocol).toBe("h2");
    both.send(H2_GET);
    await eventually(() => rig.node.asked === 1);
    expect(rig.node.stream.written).toMatch(/^GET \/x HTTP\/1\.1\r\n.*X-Forwarded-Proto: https\r\n/s);
    rig.node.stream.bring(OK);
    await both.until(({ text }) => text.endsWith("ok"));
    expect(framesOf(both.text).at(-1)).toMatchObject({ type: DATA, streamId: 1, payload: "ok" });
    // Who has chosen HTTP/1.1 may not go on in HTTP/2.
    const other = await rig.secure({ ca });
    expect(other.protocol).toBe("http/1.1");
    expect(statusOf(await other.send(H2_GET).over())).toBe("400");
  });

  it("offers HTTP/1.1 alone where HTTP/2 is off", async () => {
    const rig = await start({ http2: false });
    const peer = await rig.secure({ ca, protocols: ["h2", "http/1.1"] });
    expect(peer.protocol).toBe("http/1.1");
    await rig.exchange(peer);
  });

  it("takes plain clients as well where that is optional, up to the same number", async () => {
    const rig = await start({ limits: { maxConnections: 2 } }, { mode: "optional" });
    const plain = await rig.connect();
    expect(await rig.exchange(plain)).toContain("X-Forwarded-Proto: http\r\n");
    expect(await rig.exchange(await rig.secure({ ca }))).toContain("X-Forwarded-Proto: https\r\n");
    expect(statusOf(await (await rig.connect()).send(GET).over())).toBe("503");
    expect(rig.node.hits).toEqual(["max_connections"]);
  });

  it("closes connections when the process is short of files: nobody can be told anything", async () => {
    const rig = await start({ dependencies: { files: new OpenFiles(64) } });
    expect(await (await rig.connect()).send("G").over()).toBe("");
    expect([rig.node.hits, rig.port.connectionCount]).toEqual([["open_files"], 0]);
  });

  it.each<[string, ProxyRigOptions]>([
    ["trusted proxies", { trustedProxies: ["127.0.0.1"] }],
    ["nodes", { nodes: ["127.0.0.1:8000"] }],
  ])("gives an address its share of handshakes, and none to %s, which bring many", async (_title, many) => {
    const rig = await start({}, { maxHandshakesPerClient: 1 });
    await rig.client();
    await (await rig.connect()).over();
    expect([...(rig.port.tls?.refused ?? [])]).toEqual([["max_handshakes_per_client", 1]]);
    const free = await start(many, { maxHandshakesPerClient: 1 });
    await free.client();
    await free.client();
    expect(free.port.connectionCount).toBe(2);
  });

  it("refuses a client of HTTP/2 above its number, who can't be another node", async () => {
    const cluster = { hopSecret: Buffer.from("secret"), table: { nodes: () => [] } };
    const rig = await start({
      limits: { maxConnectionsPerClient: 1 },
      dependencies: { cluster: cluster as never },
    });
    await rig.exchange(await rig.secure({ ca }));
    const peer = await rig.secure({ ca, protocols: ["h2"] });
    // In its protocol: settings, and that no stream is looked at, for 11 (ENHANCE_YOUR_CALM).
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

describe("clients whose authority is taken away", () => {
  const theirs = workshop.authority("theirs");
  const sign = (issuer: typeof authority, name: string): { cert: Buffer; key: Buffer } => {
    const { cert, key } = workshop.sign(issuer, name, { usage: "clientAuth" });
    return { cert: readFileSync(cert), key: readFileSync(key) };
  };
  const kept = sign(authority, "kept");
  const gone = sign(theirs, "gone");

  it("may end what is under way, and ask for nothing more; others stay", async () => {
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
    rig.node.stream.bring(OK);
    expect(await busy.send(GET).over()).toMatch(/\r\nconnection: close\r\n.*ok$/is);
    await rig.exchange(other);
    expect(rig.node.asked).toBe(4);
  });
});
