// Which connections a port with TLS accepts, and which it refuses: on each port, for each kind of certificate, and without TLS.

import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { CertificateWorkshop, type KeyPair } from "@piko/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { eventually, within } from "../harness/deadline.js";
import { type RunningServer, startServer } from "../harness/piko.js";
import { perFile, perTest } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();
const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());

const ours = workshop.authority("ours");
const theirs = workshop.authority("theirs");
const forServer = workshop.sign(ours, "server");
const clients = {
  "one of ours": workshop.sign(ours, "good", { usage: "clientAuth" }),
  "another authority's certificate": workshop.sign(theirs, "foreign", { usage: "clientAuth" }),
  "an expired certificate": workshop.sign(ours, "expired", {
    usage: "clientAuth",
    from: "20200101000000Z",
    until: "20200201000000Z",
  }),
  "a certificate that isn't valid yet": workshop.sign(ours, "early", {
    usage: "clientAuth",
    from: "20700101000000Z",
    until: "20700201000000Z",
  }),
  "a server's certificate": forServer,
} as const;

const PORTS = ["proxy", "upstream", "admin"] as const;
type Port = (typeof PORTS)[number];

/** Flags that turn on TLS for the given ports, by default for all. */
function tlsFlags(
  pair: KeyPair,
  more: Record<string, string> = {},
  ports: readonly Port[] = PORTS,
): Record<string, string> {
  const all = { cert: pair.cert, key: pair.key, ...more };
  return Object.fromEntries(
    ports.flatMap((port) => Object.entries(all).map(([name, value]) => [`${port}.tls.${name}`, value])),
  );
}

/** Status line of the response to a request, or the error if there was none. */
async function ask(server: RunningServer, port: Port, options: ConnectionOptions = {}): Promise<string> {
  const socket = connectTls({
    ...address(server, port),
    servername: "localhost",
    ca: readFileSync(ours.cert),
    ...options,
  });
  return await answerOn(socket, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
}

function address(server: RunningServer, port: Port): { host: string; port: number } {
  const [host = "", number] = server[port].split(":");
  return { host, port: Number(number) };
}

function answerOn(socket: Socket, request: string | Buffer): Promise<string> {
  const answer = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
    });
    socket.on("error", (error: Error) => resolve(`error ${error.message}`));
    const end = (): void => resolve(text === "" ? "closed" : (text.split("\r\n", 1)[0] as string));
    socket.on("end", end);
    socket.on("close", end);
    socket.write(request);
  });
  return within(answer, "an answer, or an end").finally(() => socket.destroy());
}

function pairOf({ cert, key }: KeyPair): ConnectionOptions {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

async function refusals(server: RunningServer, port: Port): Promise<string[]> {
  const admin = connectTls({
    ...address(server, "admin"),
    rejectUnauthorized: false,
    ...pairOf(clients["one of ours"]),
  });
  const chunks: Buffer[] = [];
  admin.on("data", (chunk: Buffer) => chunks.push(chunk));
  await answerOn(admin, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  return [
    ...Buffer.concat(chunks)
      .toString()
      .matchAll(/^piko_tls_refused_total\{port="(\w+)",reason="(\w+)"\} \d+$/gm),
  ]
    .filter(([, name]) => name === port)
    .map(([, , reason]) => reason as string);
}

/** A stream that writes to the socket one byte at a time, each in a packet of its own. */
function byteByByte(socket: Socket): Duplex {
  const stream = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      const next = (at: number): void => {
        if (at === chunk.length) done();
        else socket.write(chunk.subarray(at, at + 1), () => setImmediate(next, at + 1));
      };
      next(0);
    },
  });
  socket.on("data", (bytes: Buffer) => void stream.push(bytes));
  socket.on("close", () => void stream.push(null));
  return stream;
}

const ECDHE_SUITES: readonly number[] = [0xc02b, 0xc02f, 0xc02c, 0xc030];
/** Numbers of cipher suites of TLS 1.2 and earlier. */
const OLD_SUITES: Readonly<Record<string, readonly number[]>> = {
  "without encryption": [0x0001, 0x0002, 0x003b, 0xc006, 0xc010],
  "for export": [0x0003, 0x0006, 0x0008, 0x0014, 0x0017],
  anonymous: [0x0018, 0x0034, 0x006c, 0x00a6, 0xc018],
  "RC4 or 3DES": [0x0005, 0x000a, 0xc007, 0xc011, 0xc012],
  "without forward secrecy": [0x002f, 0x0035, 0x003c, 0x009c, 0x009d],
  CBC: [0xc009, 0xc013, 0xc023, 0xc027, 0xc028],
};
const ALERTS: Readonly<Record<number, string>> = { 40: "handshake_failure", 70: "protocol_version" };

/** A record with a ClientHello (RFC 5246 section 7.4.1.2) that today's libraries wouldn't send. */
function clientHello(version: number, suites: readonly number[]): Buffer {
  // Curves and signature algorithms that a server may need to choose a suite.
  const extensions = Buffer.from("000a000400020017000b00020100000d0006000404030804", "hex");
  const body = Buffer.concat([
    uint16(version),
    Buffer.alloc(32, 7),
    Buffer.of(0),
    uint16(suites.length * 2),
    ...suites.map(uint16),
    Buffer.of(1, 0),
    uint16(extensions.length),
    extensions,
  ]);
  const handshake = Buffer.concat([Buffer.of(1, 0), uint16(body.length), body]);
  return Buffer.concat([Buffer.of(0x16, 3, 1), uint16(handshake.length), handshake]);
}

function uint16(value: number): Buffer {
  return Buffer.of(value >> 8, value & 0xff);
}

/** The alert that answers the first record. */
async function alertFor(server: RunningServer, port: Port, record: Buffer): Promise<string> {
  const socket = connect(address(server, port));
  const chunks: Buffer[] = [];
  const over = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => resolve());
    socket.on("close", () => resolve());
  });
  socket.write(record);
  await within(over, "an end");
  const answer = Buffer.concat(chunks);
  // An alert (21) at level fatal (2).
  const isAlert = answer.length === 7 && answer[0] === 21 && answer[5] === 2;
  return isAlert ? (ALERTS[answer[6] ?? 0] ?? String(answer[6])) : answer.toString("hex");
}

/** How a refused client's connection ends: in TLS 1.3, a client may send data before the server has checked its certificate. */
const CUT = /^closed$|^error .*(ECONNRESET|EPIPE|socket disconnected)/;

/** How a port answers a client that it accepts. */
const ACCEPTED: Record<Port, string> = {
  proxy: "HTTP/1.1 400 Bad Request",
  upstream: "HTTP/1.1 404 Not Found",
  admin: "HTTP/1.1 200 OK",
};

describe.each(PORTS)("the %s port", (port) => {
  let server: RunningServer;
  beforeAll(async () => {
    server = await startServer(stage, tlsFlags(forServer, { "client-cas": ours.cert, "min-version": "1.2" }));
  });

  it("accepts a client with a certificate of its authority", async () => {
    expect(await ask(server, port, pairOf(clients["one of ours"]))).toBe(ACCEPTED[port]);
  });

  it.each(["TLSv1.2", "TLSv1.3"] as const)(
    "refuses a client without one, and reports it in %s",
    async (version) => {
      expect(await ask(server, port, { maxVersion: version })).toMatch(
        /^error .*(alert certificate required|alert handshake failure)|^error .*ECONNRESET/,
      );
    },
  );

  it.each([
    "another authority's certificate",
    "an expired certificate",
    "a certificate that isn't valid yet",
    "a server's certificate",
  ] as const)("refuses a client with %s", async (kind) => {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      expect(await ask(server, port, { ...pairOf(clients[kind]), maxVersion })).toMatch(CUT);
    }
  });

  it("accepts no old version, and no cipher without forward secrecy", async () => {
    const good = pairOf(clients["one of ours"]);
    const legacy = {
      ...good,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    } as const;
    expect(await ask(server, port, legacy)).toMatch(/^error/);
    const weak = { ...good, maxVersion: "TLSv1.2", ciphers: "NULL:AES128-SHA:@SECLEVEL=0" } as const;
    expect(await ask(server, port, weak)).toMatch(/^error/);
  });

  it.each(Object.entries(OLD_SUITES))("refuses ciphers: %s", async (_, suites) => {
    expect(await alertFor(server, port, clientHello(0x0303, suites))).toBe("handshake_failure");
  });

  it.each([
    ["SSL 3.0", 0x0300, "handshake_failure"],
    ["TLS 1.0", 0x0301, "protocol_version"],
    ["TLS 1.1", 0x0302, "protocol_version"],
  ])("refuses %s", async (_, version, alert) => {
    expect(await alertFor(server, port, clientHello(version, ECDHE_SUITES))).toBe(alert);
  });

  it("refuses renegotiation", async () => {
    const good = pairOf(clients["one of ours"]);
    const socket = connectTls({
      ...address(server, port),
      ca: readFileSync(ours.cert),
      ...good,
      maxVersion: "TLSv1.2",
    });
    const failed = new Promise<string>((resolve) => {
      socket.on("error", ({ message }) => resolve(message));
      socket.once("secureConnect", () => {
        socket.renegotiate({ rejectUnauthorized: true }, () => resolve("done"));
      });
    });
    expect(await within(failed, "an answer")).toContain("no renegotiation");
    socket.destroy();
  });

  it("answers plain HTTP with an error, as Go does", async () => {
    const socket = connect(address(server, port));
    const whole = new Promise<string>((resolve) => {
      let text = "";
      socket.on("data", (bytes: Buffer) => {
        text += bytes.toString();
      });
      socket.on("close", () => resolve(text));
    });
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(await within(whole, "an answer")).toBe(
      "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
    );
  });

  it("counts refusals by reason", async () => {
    expect((await refusals(server, port)).toSorted()).toEqual(["certificate", "handshake", "plain"]);
  });
});

describe.each(PORTS)("an authority that is removed from the %s port", (port) => {
  it("has its certificates refused from then on, in new sessions and in resumed ones", async () => {
    const directory = await scene.directory();
    const authorities = join(directory, "ca.pem");
    copyFileSync(ours.cert, authorities);
    const flags = { "client-cas": authorities, "reload-interval": "100ms" };
    const server = await startServer(scene, tlsFlags(forServer, flags));
    const good = pairOf(clients["one of ours"]);
    const sessions: Buffer[] = [];
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      const socket = connectTls({
        ...address(server, port),
        servername: "localhost",
        ca: readFileSync(ours.cert),
        ...good,
        maxVersion,
      });
      socket.on("session", (session: Buffer) => sessions.push(session));
      expect(await answerOn(socket, "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toBe(
        ACCEPTED[port],
      );
    }
    expect(sessions.length).toBeGreaterThanOrEqual(2);
    expect(await ask(server, port, { ...good, session: sessions.at(-1) as Buffer })).toBe(ACCEPTED[port]);
    copyFileSync(theirs.cert, authorities);
    await server.program.waitForLine(
      ({ fields }) => fields["msg"] === "certificates read again" && fields["port"] === port,
      "certificates of the port",
    );
    await eventually(async () => CUT.test(await ask(server, port, good)), "a refusal of a new session");
    for (const session of sessions) {
      for (const pair of [good, {}])
        expect(await ask(server, port, { ...pair, session })).toMatch(/^(closed|error)/);
    }
    expect(await ask(server, port, pairOf(clients["another authority's certificate"]))).toBe(ACCEPTED[port]);
  });
});

describe("a handshake", () => {
  it("may arrive byte by byte, and after a PROXY protocol header", async () => {
    const server = await startServer(scene, {
      ...tlsFlags(forServer, {}, ["proxy"]),
      "proxy.proxy-protocol": "required",
      "proxy.trusted-proxies": "127.0.0.1",
    });
    const raw = connect(address(server, "proxy"));
    raw.setNoDelay(true);
    raw.write("PROXY TCP4 192.0.2.7 192.0.2.8 1000 443\r\n");
    const socket = connectTls({
      socket: byteByByte(raw),
      servername: "localhost",
      ca: readFileSync(ours.cert),
    });
    expect(await answerOn(socket, "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n")).toBe(
      ACCEPTED.proxy,
    );
  });

  it("of a thousand silent connections delays no one else, and each one times out", async () => {
    const flags = {
      "max-handshakes-per-client": "2000",
      "max-handshakes": "2000",
      "handshake-timeout": "3s",
    };
    const server = await startServer(scene, tlsFlags(forServer, flags, ["proxy"]));
    let ended = 0;
    const silent = Array.from({ length: 1_000 }, (_, index) => {
      const socket = connect(address(server, "proxy"));
      socket.on("error", () => {});
      socket.on("close", () => ended++);
      // Half of them begin a handshake.
      if (index % 2 === 0) socket.write(Buffer.from("1603010200", "hex"));
      return socket;
    });
    scene.defer(() => silent.forEach((socket) => socket.destroy()));
    for (let i = 0; i < 20; i++) expect(await ask(server, "proxy")).toBe(ACCEPTED.proxy);
    await eventually(() => ended === silent.length, "the end of each connection");
  });

  it("beyond the limit for one address is refused, and others are served again when there is room", async () => {
    const server = await startServer(
      scene,
      tlsFlags(forServer, { "max-handshakes-per-client": "3" }, ["proxy"]),
    );
    const silent = Array.from({ length: 3 }, () => connect(address(server, "proxy")));
    scene.defer(() => silent.forEach((socket) => socket.destroy()));
    await eventually(async () => /^(closed|error)/.test(await ask(server, "proxy")), "a refusal");
    silent[0]?.destroy();
    await eventually(async () => (await ask(server, "proxy")) === ACCEPTED.proxy, "room");
  });
});
