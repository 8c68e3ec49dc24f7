// Collectors with TLS: which certificates a program accepts from its collector, and which one it presents itself.

import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ServerOptions } from "node:https";
import { describe, expect, it } from "vitest";
import { type Collector, startCollector } from "../harness/collector.js";
import { eventually } from "../harness/deadline.js";
import { MutualTls, type TlsSide } from "../harness/mutual-tls.js";
import { type RunningServer, startAgent, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perFile, perTest } from "../harness/stage.js";

const scene = perTest();
const tls = new MutualTls(perFile());

/** TLS of a collector with this certificate; with `cas`, it requires client certificates signed by one of them. */
function collectorTls({ cert, key }: Pick<TlsSide, "cert" | "key">, cas?: string): ServerOptions {
  return {
    cert: readFileSync(cert),
    key: readFileSync(key),
    ...(cas === undefined ? {} : { ca: readFileSync(cas), requestCert: true, rejectUnauthorized: true }),
  };
}

/** Starts a server that sends its spans to the collector. */
const start = (collector: Collector, flags: Record<string, string>): Promise<RunningServer> =>
  startServer(scene, { "tracing.url": collector.url, ...flags });

const ask = async ({ proxy }: RunningServer, endpoint = "nobody"): Promise<number> =>
  (await fetch(`http://${proxy}/item`, { headers: { "x-piko-endpoint": endpoint } })).status;

describe("a collector with a certificate from a private authority", () => {
  it("gets the spans of nodes and agents that trust this authority", async () => {
    const collector = await startCollector(scene, { tls: collectorTls(tls.server) });
    const service = await Service.start(scene);
    const server = await start(collector, { "tracing.tls.root-cas": tls.ca.cert });
    await startAgent(scene, server.upstream, "web", service.addr, {
      flags: ["--tracing.url", collector.url, "--tracing.tls.root-cas", tls.ca.cert],
    });
    expect(await ask(server, "web")).toBe(200);
    await eventually(() => collector.spans.length === 4, "the spans of both");
    expect(collector.spans.map(({ service: name }) => name).sort()).toEqual([
      "piko-agent",
      "piko-agent",
      "piko-server",
      "piko-server",
    ]);
  });

  it.each([
    [
      "a program trusts another authority",
      () => ({ "tracing.tls.root-cas": tls.workshop.authority("other").cert }),
    ],
    ["a program trusts no private authority", () => ({})],
  ])("gets no spans if %s: the log has the reason, and requests continue", async (_what, flags) => {
    const collector = await startCollector(scene, { tls: collectorTls(tls.server) });
    const server = await start(collector, flags());
    expect(await ask(server)).toBe(502);
    const { fields } = await server.program.waitFor("collector takes no spans, trying again");
    expect(fields["error"]).toMatch(/certificate/);
    expect(await ask(server)).toBe(502);
    await server.program.stop();
    expect(collector.spans).toEqual([]);
  });

  it("gets no spans if its certificate is for another host", async () => {
    const other = tls.workshop.sign(tls.ca, "other-host", { names: "DNS:otlp.example.com" });
    const collector = await startCollector(scene, { tls: collectorTls(other) });
    const server = await start(collector, { "tracing.tls.root-cas": tls.ca.cert });
    expect(await ask(server)).toBe(502);
    const { fields } = await server.program.waitFor("collector takes no spans, trying again");
    expect(fields["error"]).toMatch(/altnames/);
    await server.program.stop();
    expect(collector.spans).toEqual([]);
  });

  it("gets them from programs that don't verify certificates", async () => {
    const collector = await startCollector(scene, { tls: collectorTls(tls.server) });
    const server = await start(collector, { "tracing.tls.insecure-skip-verify": "true" });
    expect(await ask(server)).toBe(502);
    await eventually(() => collector.spans.length === 1, "the span");
  });
});

describe("a collector that requires a client certificate", () => {
  it("gets spans from a program that presents one; a new one is used once it is in the file", async () => {
    const collector = await startCollector(scene, { tls: collectorTls(tls.server, tls.ca.cert) });
    const folder = await scene.directory();
    const own = { cert: join(folder, "own.crt"), key: join(folder, "own.key") };
    const show = ({ cert, key }: Pick<TlsSide, "cert" | "key">): void => {
      copyFileSync(key, own.key);
      copyFileSync(cert, own.cert);
    };
    // Signed by an authority that the collector doesn't trust.
    show(tls.workshop.sign(tls.workshop.authority("strangers"), "stranger", { usage: "clientAuth" }));
    const server = await start(collector, {
      "tracing.tls.root-cas": tls.ca.cert,
      "tracing.tls.cert": own.cert,
      "tracing.tls.key": own.key,
    });
    expect(await ask(server)).toBe(502);
    await server.program.waitFor("collector takes no spans, trying again");
    expect(collector.spans).toEqual([]);
    show(tls.client);
    await eventually(() => collector.spans.length === 1, "the span", 60_000);
    await server.program.waitFor("collector takes spans again");
  });

  it("gets none from a program that presents none", async () => {
    const collector = await startCollector(scene, { tls: collectorTls(tls.server, tls.ca.cert) });
    const server = await start(collector, { "tracing.tls.root-cas": tls.ca.cert });
    expect(await ask(server)).toBe(502);
    await server.program.waitFor("collector takes no spans, trying again");
    await server.program.stop();
    expect(collector.spans).toEqual([]);
  });
});
