import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CertificateWorkshop, FakeClock } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { PairFiles } from "../../../test/pair-files.js";
import type { ServerTlsConfig } from "../../config/server-tls.js";
import { SERVER } from "../../config/server.js";
import { loadConfig } from "../../config/load-config.js";
import type { Logger } from "../../observability/logger.js";
import { Certificates } from "./certificates.js";

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const ca = workshop.authority("ca");
const first = workshop.sign(ca, "first");
const second = workshop.sign(ca, "second");
const shop = workshop.sign(ca, "shop", { names: "DNS:*.shop.test" });

const DAY_MS = 86_400_000;
const { tls: defaults } = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given: [] }).proxy;

const files = new PairFiles(first);

function create(config: Partial<ServerTlsConfig> = {}, nowMs = 0) {
  const clock = new FakeClock();
  const warnings: string[] = [];
  const logger = { info() {}, warn: (text: string) => void warnings.push(text) } as unknown as Logger;
  const time = { nowMs };
  const certificates = new Certificates({
    port: "proxy",
    config: { ...defaults, cert: files.cert, key: files.key, ...config },
    logger,
    clock,
    wallNow: () => time.nowMs,
  });
  let changes = 0;
  const distrusts: boolean[] = [];
  certificates.watch((found) => {
    changes++;
    distrusts.push(found !== undefined);
  });
  return {
    certificates,
    clock,
    time,
    warnings,
    changes: () => changes,
    distrusts,
  };
}

describe("Certificates", () => {
  it("are replaced when their files have changed, and only then", () => {
    const { certificates, changes, clock } = create();
    const before = certificates.options.cert;
    clock.advance(10_000);
    expect(changes()).toBe(0);
    files.put(second);
    clock.advance(10_000);
    expect(changes()).toBe(1);
    expect(certificates.options.cert).not.toBe(before);
    certificates.close();
    files.put(first);
    clock.advance(60_000);
    expect(changes()).toBe(1);
  });

  it("stay in use while the files don't match, which is logged if it lasts", () => {
    const { certificates, changes, clock, warnings } = create();
    const before = certificates.options.cert;
    copyFileSync(second.cert, files.cert);
    clock.advance(10_000);
    expect([changes(), warnings]).toEqual([0, []]);
    clock.advance(30_000);
    expect(warnings).toEqual(["certificates can't be used, still using the previous ones"]);
    rmSync(files.key);
    clock.advance(10_000);
    expect([certificates.options.cert, changes()]).toEqual([before, 0]);
    files.put(second);
    clock.advance(10_000);
    expect(changes()).toBe(1);
  });

  it("stay in use while a file is being written, however far", () => {
    const clientCas = join(files.directory, "ca.pem");
    const both = Buffer.concat([readFileSync(ca.cert), readFileSync(first.cert)]);
    writeFileSync(clientCas, both);
    const { certificates, changes, clock, distrusts } = create({ clientCas });
    const before = certificates.options;
    for (const path of [files.cert, files.key, clientCas]) {
      const content = readFileSync(path);
      for (const length of [0, 1, 40, content.length - 40]) {
        writeFileSync(path, content.subarray(0, length));
        clock.advance(10_000);
        expect([path, length, certificates.options === before, distrusts]).toEqual([path, length, true, []]);
      }
      writeFileSync(path, content);
    }
    clock.advance(10_000);
    expect(changes()).toBe(0);
  });

  it("are an error at the start if they can't be used", () => {
    writeFileSync(files.key, "");
    expect(() => create()).toThrow(`tls of the proxy port: ${files.key} is empty`);
    copyFileSync(second.key, files.key);
    expect(() => create()).toThrow(`tls of the proxy port: can't use ${files.cert} with ${files.key}`);
    files.put(first);
    const clientCas = join(files.directory, "ca.pem");
    writeFileSync(clientCas, "none");
    expect(() => create({ clientCas })).toThrow(`tls of the proxy port: can't use ${clientCas}`);
    writeFileSync(clientCas, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect(() => create({ clientCas })).toThrow(`tls of the proxy port: can't use ${clientCas}`);
    expect(() => create({ cert: join(files.directory, "absent") })).toThrow("(ENOENT)");
  });

  it("report with a change whether an authority was removed", () => {
    const clientCas = join(files.directory, "ca.pem");
    const other = workshop.authority("other");
    const pem = [ca, other].map((authority) => readFileSync(authority.cert, "utf8"));
    writeFileSync(clientCas, pem[0] as string);
    const { clock, distrusts } = create({ clientCas });
    for (const text of [pem.join(""), pem[1] as string]) {
      writeFileSync(clientCas, text);
      clock.advance(10_000);
    }
    files.put(second);
    clock.advance(10_000);
    expect(distrusts).toEqual([false, true, false]);
  });

  it("are chosen by server name", () => {
    const { certificates } = create({ certificates: [shop] });
    expect(certificates.contextFor("www.shop.test")).toBeDefined();
    expect(certificates.contextFor("shop.test")).toBeUndefined();
    expect(certificates.contextFor("localhost")).toBeUndefined();
    expect(certificates.expiries.map(({ path }) => path)).toEqual([files.cert, shop.cert]);
  });

  it("cause a warning 14 days and one day before they expire, once each", () => {
    const ends = create().certificates.expiries[0]?.notAfterMs ?? 0;
    const { clock, time, warnings } = create({}, ends - 20 * DAY_MS);
    clock.advance(10_000);
    expect(warnings).toEqual([]);
    time.nowMs = ends - 14 * DAY_MS;
    clock.advance(30_000);
    expect(warnings).toEqual(["certificate expires soon"]);
    time.nowMs = ends - DAY_MS / 2;
    clock.advance(30_000);
    expect(warnings).toEqual(["certificate expires soon", "certificate expires soon"]);
  });
});
