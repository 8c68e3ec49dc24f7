import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import { CertificateWorkshop, type KeyPair } from "@piko/testkit";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { Authorities, certificateSubject } from "./authorities.js";

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const cleanUps: (() => void)[] = [];
afterEach(() => {
  for (const cleanUp of cleanUps.splice(0).reverse()) cleanUp();
});

const ours = workshop.authority("ours");
const renewed = workshop.renew(ours, "renewed");
const theirs = workshop.authority("theirs");
/** Has the same name as ours. */
const impostor = workshop.renew({ ...theirs, cert: ours.cert }, "impostor");
const between = workshop.sign(ours, "between", { usage: "signing" });
const forServer = workshop.sign(ours, "server");
const direct = workshop.sign(ours, "direct", { usage: "clientAuth" });
const indirect = workshop.sign(between, "indirect", { usage: "clientAuth" });

function text(...files: readonly KeyPair[]): string {
  return files.map(({ cert }) => readFileSync(cert, "utf8")).join("");
}

function authorities(...files: readonly KeyPair[]): Authorities {
  return new Authorities(text(...files));
}

/** The server's end of a connection whose client presents these certificates, starting with its own. */
async function accepted(own: KeyPair, ...more: readonly KeyPair[]): Promise<TLSSocket> {
  return await connectTo(await listen(), [own, ...more]);
}

/** The server's end of a connection that resumes a session. */
async function resumed(own: KeyPair, ...more: readonly KeyPair[]): Promise<TLSSocket> {
  const server = await listen();
  let first: (session: Buffer) => void;
  const session = new Promise<Buffer>((resolve) => {
    first = resolve;
  });
  await connectTo(server, [own, ...more], (client) => client.once("session", first));
  const socket = await connectTo(server, [own, ...more], () => {}, await session);
  expect(socket.isSessionReused()).toBe(true);
  return socket;
}

async function listen(): Promise<Server> {
  const server = createServer({
    cert: readFileSync(forServer.cert),
    key: readFileSync(forServer.key),
    ca: text(ours, theirs),
    requestCert: true,
    rejectUnauthorized: true,
  });
  cleanUps.push(() => server.close());
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  return server;
}

/** Opens a connection, and returns the server's end of it. */
async function connectTo(
  server: Server,
  shown: readonly KeyPair[],
  onClient: (client: TLSSocket) => void = () => {},
  session?: Buffer,
): Promise<TLSSocket> {
  const client = connect({
    port: (server.address() as AddressInfo).port,
    host: "127.0.0.1",
    ca: readFileSync(ours.cert),
    cert: text(...shown),
    key: readFileSync(shown[0]?.key ?? ""),
    ...(session === undefined ? {} : { session }),
  });
  onClient(client);
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    server.once("secureConnection", resolve);
    client.on("error", reject).resume();
  });
  cleanUps.push(() => {
    client.destroy();
    socket.destroy();
  });
  return socket;
}

describe("changed authorities", () => {
  it("end nothing while all previous ones are there, even with new certificates", () => {
    expect(authorities(ours, theirs).distrustsOf(authorities(ours))).toBeUndefined();
    expect(authorities(renewed).distrustsOf(authorities(ours))).toBeUndefined();
    expect(authorities(ours).distrustsOf(authorities(ours, between))).toBeUndefined();
  });

  it("end the connections of one that was removed, and no others", async () => {
    const distrusts = authorities(theirs).distrustsOf(authorities(ours, theirs));
    const foreign = workshop.sign(theirs, "foreign", { usage: "clientAuth" });
    expect(distrusts?.(await accepted(direct))).toBe(true);
    expect(distrusts?.(await accepted(foreign))).toBe(false);
  });

  it("aren't mistaken for a removed one with the same name", async () => {
    const distrusts = authorities(impostor).distrustsOf(authorities(ours));
    expect(distrusts?.(await accepted(direct))).toBe(true);
    expect(authorities(impostor).vouchFor(await accepted(direct))).toBe(false);
  });

  it("are found through intermediate certificates that a client presents", async () => {
    const socket = await accepted(indirect, between);
    const gone = authorities(theirs).distrustsOf(authorities(ours, theirs));
    expect(gone?.(socket)).toBe(true);
    const kept = authorities(ours).distrustsOf(authorities(ours, theirs));
    expect(kept?.(socket)).toBe(false);
  });

  it("don't stay valid through an intermediate certificate that is still in the file", async () => {
    const distrusts = authorities(between, theirs).distrustsOf(authorities(between, ours, theirs));
    expect(distrusts?.(await accepted(indirect, between))).toBe(true);
  });

  it("can't be replaced by other certificates that a client presents", async () => {
    const distrusts = authorities(theirs).distrustsOf(authorities(ours, theirs));
    expect(distrusts?.(await accepted(direct, ours, theirs))).toBe(true);
    expect(authorities(theirs).vouchFor(await accepted(direct, ours, theirs))).toBe(false);
  });

  it("end a resumed session if one was removed and the intermediate certificates are unknown", async () => {
    const distrusts = authorities(ours).distrustsOf(authorities(ours, theirs));
    expect(distrusts?.(await resumed(indirect, between))).toBe(true);
    expect(distrusts?.(await resumed(direct))).toBe(false);
  });
});

it("the subject of a certificate is one line, or the alternative names if there is none", async () => {
  expect(certificateSubject(await accepted(direct))).toBe("CN=direct");
  const spiffe = workshop.sign(ours, "", { usage: "clientAuth", names: "URI:spiffe://example/agent" });
  expect(certificateSubject(await accepted(spiffe))).toBe("URI:spiffe://example/agent");
});
