// A real browser through the tunnel: a page whose script fetches many things at once.

import { describe, expect, it } from "vitest";
import { startTunnel } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { findTool, haveTools, run } from "../harness/tools.js";

const scene = perTest();
const chromium = findTool("chromium") ?? findTool("google-chrome") ?? findTool("chrome");

describe.runIf(chromium !== undefined || haveTools("chromium"))("a browser", () => {
  it("loads a page that makes 60 requests at once", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr);
    const port = server.proxy.split(":")[1];
    const profile = await scene.directory();
    const { stdout, stderr } = await run(chromium ?? "chromium", [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      `--user-data-dir=${profile}`,
      // The name is the endpoint's; only this browser knows where it leads.
      "--host-resolver-rules=MAP web.test 127.0.0.1",
      // The document is printed when this much of the page's time has passed; it stands still while requests run.
      "--virtual-time-budget=10000",
      "--dump-dom",
      `http://web.test:${port}/page?n=60`,
    ]);
    expect(stdout, stderr.slice(-500)).toContain("right: 60");
    expect(service.requests.filter(({ url }) => url.startsWith("/item"))).toHaveLength(60);
  });
});
