// A real browser through the tunnel: a page whose script fetches many resources concurrently, by HTTP/1.1, and by HTTP/2 over
// HTTPS.

import { CertificateWorkshop } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { startTunnel } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { findTool, haveTools, run } from "../harness/tools.js";

const scene = perTest();
const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());
const chromium = findTool("chromium") ?? findTool("google-chrome") ?? findTool("chrome");

describe.runIf(chromium !== undefined || haveTools("chromium"))("a browser", () => {
  it.each([
    { scheme: "http", count: 60, proto: "HTTP/1.1" },
    { scheme: "https", count: 100, proto: "HTTP/2.0" },
  ])("loads a page over $scheme that makes $count concurrent requests", async ({ count, proto, scheme }) => {
    const service = await Service.start(scene);
    const { cert, key } = workshop.sign(workshop.authority("ca"), "server", { names: "DNS:web.test" });
    const tls = scheme === "https" ? { "proxy.tls.cert": cert, "proxy.tls.key": key } : {};
    const { server } = await startTunnel(scene, service.addr, tls);
    const port = server.proxy.split(":")[1];
    const profile = await scene.directory();
    const { stdout, stderr } = await run(chromium ?? "chromium", [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--ignore-certificate-errors",
      `--user-data-dir=${profile}`,
      // The endpoint's host name, which only this browser can resolve.
      "--host-resolver-rules=MAP web.test 127.0.0.1",
      // The document is printed after this amount of virtual time, which stops while requests are in progress.
      "--virtual-time-budget=10000",
      "--dump-dom",
      `${scheme}://web.test:${port}/page?n=${count}`,
    ]);
    expect(stdout, stderr.slice(-500)).toContain(`right: ${count}`);
    expect(service.requests.filter(({ url }) => url.startsWith("/item"))).toHaveLength(count);
    const { text } = await server.program.waitForLine(
      (line) => line.text.includes('"path":"/item"'),
      "line of the access log",
    );
    expect(text).toContain(`"proto":"${proto}"`);
  });
});
