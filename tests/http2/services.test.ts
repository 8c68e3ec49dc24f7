// Real HTTP/2 clients (curl, nghttp, h2load), and behind the agent a service for each version of HTTP: many concurrent
// requests, bodies in both directions, and an upload that no program keeps in memory; with `npm run test:long` one of 1 GiB.

import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { CertificateWorkshop, PatternSource } from "@piko/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LONG } from "../harness/long-run.js";
import { MemoryWatch } from "../harness/memory.js";
import { startAgent, startServer, type Tunnel } from "../harness/piko.js";
import { perFile, perTest } from "../harness/stage.js";
import { haveTools, run } from "../harness/tools.js";
import {
  type ServiceProtocol,
  startVersionedService,
  type Swallowed,
  type VersionedService,
} from "../harness/versioned-service.js";

const MIB = 1024 ** 2;
const UPLOAD_BYTES = LONG ? 1024 * MIB : 64 * MIB;
const UPLOAD_MS = LONG ? 500_000 : 150_000;
const MAX_RSS_MB = 150;

interface Case {
  readonly protocol: ServiceProtocol;
  /** The version of HTTP that the agent uses with the service. */
  readonly version: string;
  /** Whether clients use TLS and negotiate HTTP/2 by ALPN; otherwise they use prior knowledge. */
  readonly secure: boolean;
}

const CASES: readonly Case[] = [
  { protocol: "http", version: "1.1", secure: true },
  { protocol: "h2c", version: "2.0", secure: false },
  { protocol: "h2", version: "2.0", secure: true },
];

const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const ca = workshop.authority("ca");
const { cert, key } = workshop.sign(ca, "localhost", { names: "DNS:localhost" });

describe.each(CASES)("with a service that speaks $protocol", ({ protocol, version, secure }) => {
  const stage = perFile();
  const scene = perTest();
  let service: VersionedService;
  let tunnel: Tunnel;
  let origin: string;

  beforeAll(async () => {
    service = await startVersionedService(stage, protocol, { cert, key });
    const server = await startServer(stage, secure ? { "proxy.tls.cert": cert, "proxy.tls.key": key } : {});
    const flags = ["--protocol", protocol, ...(protocol === "h2" ? ["--tls.root-cas", ca.cert] : [])];
    tunnel = { server, agent: await startAgent(stage, server.upstream, "web", service.target, { flags }) };
    const port = server.proxy.split(":")[1];
    origin = `${secure ? "https" : "http"}://localhost:${port}`;
  });

  const header = ["--header", "x-piko-endpoint: web"];

  /** curl's answer, and the version of HTTP that it used. */
  async function curl(path: string, ...args: readonly string[]) {
    const report = ["--silent", "--show-error", "--write-out", "%{stderr}%{http_version} %{http_code}"];
    const files = [...(secure ? ["--cacert", ca.cert] : []), ...header, ...args];
    const { stdout, stderr } = await run("curl", [...report, ...files, `${origin}${path}`], {
      ms: UPLOAD_MS,
    });
    return { statusLine: stderr, swallowed: JSON.parse(stdout) as Swallowed };
  }

  describe.runIf(haveTools("curl"))("curl", () => {
    it("speaks HTTP/2, whatever the service speaks", async () => {
      const { statusLine, swallowed } = await curl("/x?y=1", secure ? "--http2" : "--http2-prior-knowledge");
      expect(statusLine).toBe("2 200");
      expect(swallowed).toMatchObject({ version, method: "GET", url: "/x?y=1", bytes: 0 });
    });

    it("speaks HTTP/1.1, and is answered even if it offers HTTP/2 as an upgrade (RFC 7540)", async () => {
      const { statusLine, swallowed } = await curl("/x", secure ? "--http1.1" : "--http2");
      expect(statusLine).toBe("1.1 200");
      expect(swallowed).toMatchObject({ version, url: "/x" });
      expect(swallowed.headers).not.toHaveProperty("upgrade");
      expect(swallowed.headers).not.toHaveProperty("http2-settings");
    });

    it(`uploads ${UPLOAD_BYTES / MIB} MiB completely, in constant memory`, {
      timeout: 2 * UPLOAD_MS,
    }, async () => {
      const directory = await scene.directory();
      const [file, heads] = [join(directory, "body"), join(directory, "heads")];
      const hash = createHash("sha256");
      await pipeline(
        Readable.from(new PatternSource(UPLOAD_BYTES)),
        async function* (pieces) {
          for await (const piece of pieces) {
            hash.update(piece as Buffer);
            yield piece;
          }
        },
        createWriteStream(file),
      );
      const watch = new MemoryWatch([tunnel.server.program, tunnel.agent]);
      const how = secure ? "--http2" : "--http2-prior-knowledge";
      const { statusLine, swallowed } = await curl("/up", how, "--upload-file", file, "--dump-header", heads);
      const [server, agent] = await watch.stop();
      expect(statusLine).toBe("2 200");
      expect(swallowed).toMatchObject({ version, method: "PUT", bytes: UPLOAD_BYTES });
      expect((await run("cat", [heads])).stdout).toContain(`x-sum: ${hash.digest("hex")}`);
      expect(server).toBeLessThan(MAX_RSS_MB);
      expect(agent).toBeLessThan(MAX_RSS_MB);
    });
  });

  describe.runIf(haveTools("nghttp", "h2load"))("nghttp2's clients", () => {
    it("get a hundred parts of a page concurrently", async () => {
      const paths = Array.from({ length: 100 }, (_, at) => `${origin}/page/${at}`);
      const before = service.connections;
      const page = await run("nghttp", ["--no-dep", "--null-out", "--stat", ...header, ...paths]);
      expect(page.code, page.stderr).toBe(0);
      expect(page.stdout.match(/ 200 +\d+ \/page\/\d+$/gm)).toHaveLength(100);
      // A single connection carries them all.
      if (version === "2.0") expect(service.connections - before).toBeLessThanOrEqual(1);
    });

    it.each(["1", "10", "100"])("load it with %s streams on each connection", async (streams) => {
      const args = ["-n", "2000", "-c", "2", "-m", streams, ...header, `${origin}/load`];
      expect((await run("h2load", args)).stdout).toContain("2000 succeeded, 0 failed, 0 errored, 0 timeout");
    });
  });
});
