// A developer's page through the tunnel: Vite's own server, its page in a real browser, and a change that reaches the page by
// hot reload.

import { writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer } from "vite";
import { describe, expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { eventually } from "../harness/deadline.js";
import { startAgent, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { perTest } from "../harness/stage.js";
import { findTool, haveTools } from "../harness/tools.js";

const scene = perTest();
const chromium = findTool("chromium") ?? findTool("google-chrome") ?? findTool("chrome");

const PAGE = '<!doctype html><title>t</title><script type="module" src="/main.js"></script>';
// Each load of the page has an id, which distinguishes a hot update from a reloaded page.
const MAIN = `
import { word } from "./word.js";
const load = Math.random();
const say = (text) => fetch("/said?" + new URLSearchParams({ text, load }), { method: "POST" });
say(word);
import.meta.hot.accept("./word.js", (changed) => say(changed.word));
`;
const word = (text: string): string => `export const word = ${JSON.stringify(text)};\n`;

/** Vite's development server for a page that reports what it shows. */
async function startVite(): Promise<{
  port: number;
  folder: string;
  said: URLSearchParams[];
  pages: () => number;
}> {
  const folder = await scene.directory();
  const said: URLSearchParams[] = [];
  await writeFile(join(folder, "index.html"), PAGE);
  await writeFile(join(folder, "main.js"), MAIN);
  await writeFile(join(folder, "word.js"), word("one"));
  const vite = await createServer({
    root: folder,
    configFile: false,
    logLevel: "silent",
    cacheDir: join(folder, ".vite"),
    server: { host: "127.0.0.1", port: 0 },
    plugins: [
      {
        name: "said",
        configureServer: ({ middlewares }) => {
          middlewares.use((request, response, next) => {
            if (request.url?.startsWith("/said?") !== true) {
              next();
              return;
            }
            said.push(new URLSearchParams(request.url.slice("/said?".length)));
            response.end();
          });
        },
      },
    ],
  });
  scene.defer(() => vite.close());
  await vite.listen();
  const address = vite.httpServer?.address() as AddressInfo | undefined;
  const port = address?.port ?? 0;
  return { port, folder, said, pages: () => vite.ws.clients.size };
}

describe.runIf(chromium !== undefined || haveTools("chromium"))("--host-header rewrite", () => {
  it("lets a browser use Vite's development server, including hot reload", async () => {
    const { folder, pages, port, said } = await startVite();
    const server = await startServer(scene);
    await startAgent(scene, server.upstream, "plain", `127.0.0.1:${port}`);
    await startAgent(scene, server.upstream, "dev", `127.0.0.1:${port}`, {
      flags: ["--host-header", "rewrite"],
    });
    const proxyPort = server.proxy.split(":")[1];
    const asHost = (name: string): { args: string[] } => ({
      args: ["--header", `host: ${name}:${proxyPort}`],
    });
    // Without the flag, Vite refuses the host name in the browser's requests.
    const refused = await curl(server.proxy, "plain", "/", asHost("plain.example.com"));
    expect([refused.status, refused.stdout]).toEqual([403, expect.stringContaining("plain.example.com")]);
    expect((await curl(server.proxy, "dev", "/", asHost("dev.example.com"))).status).toBe(200);

    startProgram(scene, "chromium", chromium ?? "chromium", [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--remote-debugging-port=0",
      `--user-data-dir=${await scene.directory()}`,
      "--host-resolver-rules=MAP dev.example.com 127.0.0.1",
      `http://dev.example.com:${proxyPort}/`,
    ]);
    const pageWith = (text: string): Promise<URLSearchParams> =>
      eventually(() => said.find((each) => each.get("text") === text), `page that says "${text}"`);
    const first = await pageWith("one");
    await eventually(() => pages() > 0, "WebSocket of the page");
    await writeFile(join(folder, "word.js"), word("two"));
    expect((await pageWith("two")).get("load")).toBe(first.get("load"));
  });
});
