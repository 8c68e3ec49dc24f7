// What an agent shows at a terminal, and what happens if the terminal is narrow, limited, used by other programs, or closed.

import { beforeEach, describe, expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { eventually } from "../harness/deadline.js";
import { PIKO, type RunningServer, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { Terminal, type TerminalOptions } from "../harness/terminal.js";
import { haveTools } from "../harness/tools.js";
import { Traffic } from "../harness/traffic.js";

const scene = perTest();
let service: Service;
let server: RunningServer;

const PUBLIC_URL = { "proxy.public-url": "https://{endpoint}.piko.example.com", "cluster.node-id": "node-1" };

/** Replaces times, durations and numbers that differ each time. */
const scrub = (text: string): string =>
  text
    .replaceAll(/\d\d:\d\d:\d\d(?:\.\d+)?/g, "12:00:00")
    .replaceAll(/ +[\d.]+ m?s\b/g, " MS")
    .replaceAll(/[\d.]+\/s/g, "RATE/s")
    .replaceAll(service.addr, "SERVICE");

const start = (flags = ""): string =>
  `${PIKO} agent http web ${service.addr} --connect.url http://${server.upstream} ${flags}`;

/** Opens a terminal with an agent that is connected. */
async function withAgent(options: Partial<TerminalOptions> = {}, flags = ""): Promise<Terminal> {
  const terminal = await Terminal.open(scene, { columns: 80, ...options });
  await terminal.type(`clear; ${start(flags)}`);
  await terminal.until((text) => /connected {2}/.test(text), "connected agent");
  return terminal;
}

const ask = (path: string): Promise<unknown> => curl(server.proxy, "web", path);
/** The endpoints that have tunnels to the server, as its status page lists them. */
const tunnels = async (): Promise<string> =>
  (await fetch(`http://${server.admin}/status/upstream/endpoints`)).text();

describe.runIf(haveTools("tmux", "bash"))("an agent at a terminal", () => {
  beforeEach(async () => {
    service = await Service.start(scene);
    server = await startServer(scene, PUBLIC_URL);
  });

  it.each([80, 120])("shows its endpoint, tunnels, and requests, in %s columns", async (columns) => {
    const terminal = await withAgent({ columns });
    await ask("/item");
    await ask("/nothing-there");
    // The first drawing may lack the round-trip time and the last request.
    const drawn = (shown: string): boolean => / \d[\d.]* m?s\n {2}2 requests, [\d.]+\/s\n/.test(shown);
    const text = await terminal.until(drawn, "two requests and a round-trip time");
    const screen = scrub(text);
    // Cuts off the log above the screen, which has a line that is just as long.
    expect(screen.slice(screen.indexOf("\n\n"))).toBe(`

https://web.piko.example.com -> http://SERVICE
  1 of 2 tunnels  node-1 MS
  2 requests, RATE/s

12:00:00  404 MS  GET /nothing-there
12:00:00  200 MS  GET /item`);
    expect(screen.split("\n").filter((line) => line.length > columns)).toEqual([]);
  });

  it("fits another width, and cuts what is too long", async () => {
    const terminal = await withAgent();
    await ask(`/item?${"x".repeat(100)}`);
    await ask(`/${"long/".repeat(30)}`);
    await terminal.until((text) => text.includes("2 requests"), "two requests");
    await terminal.resize(40);
    // The terminal itself wraps the lines of the earlier drawing first.
    await terminal.until((shown) => /-> http:\/…\n[^]*long\S*…$/m.test(shown), "shorter lines");
    await terminal.resize(120);
    const wide = await terminal.until((shown) => shown.includes(`-> http://${service.addr}`), "longer lines");
    // Nothing is left of earlier drawings.
    expect(wide.match(/2 requests/g)).toHaveLength(1);
  });

  it("shows why requests failed, above the screen too", async () => {
    const terminal = await withAgent();
    await service.stop();
    await ask("/item");
    const text = scrub(await terminal.until((shown) => /\n\n.*502/s.test(shown), "a failure"));
    expect(text).toMatch(/warn {2}proxy\.http\.access {2}GET web \/item 502 \d+ms connect_refused\n/);
    expect(text).toMatch(/\n\n12:00:00 {2}502 MS {2}GET \/item {2}connect_refused$/);
  });

  it("leaves its last state on the screen at Ctrl-C", async () => {
    const terminal = await withAgent();
    await ask("/item");
    await terminal.press("C-c");
    const text = await terminal.until((shown) => shown.endsWith("\n$"), "prompt");
    const [, last = ""] = scrub(text).split("\n\n");
    expect(last).toContain("1 request, ");
    expect(scrub(text)).toMatch(
      /GET \/item\n12:00:00 info {2}agent {2}starting shutdown {2}signal=SIGINT\n(?:.*\n)*.*shutdown complete\n\$$/,
    );
  });

  it.each([
    [{}, true],
    [{ NO_COLOR: "1" }, false],
  ])("uses colors unless disabled: %j", async (env, colored) => {
    const terminal = await withAgent({ env });
    await terminal.until((text) => text.includes("0 requests"), "a status");
    // tmux itself adds no colors.
    expect((await terminal.text(true)).includes("\u001b[")).toBe(colored);
  });

  it.each([
    ["when configured to", {}, "--log.format pretty", ""],
    ["on a terminal that can't be drawn on", { TERM: "dumb" }, "", ""],
    ["in the background", {}, "", " &"],
  ])("writes plain lines %s", async (_, env, flags, suffix) => {
    const terminal = await Terminal.open(scene, { columns: 120, env });
    await terminal.type(`clear; ${start(flags)}${suffix}`);
    await terminal.until((text) => text.includes("connected  "), "connected agent");
    await ask("/item");
    const text = scrub(await terminal.until((shown) => shown.includes("/item 200"), "an access line"));
    expect(text).toMatch(/info {2}proxy\.http\.access {2}GET web \/item 200 \d+ms$/m);
    expect(text).not.toContain("0 requests");
    await terminal.type("kill %1 2>/dev/null");
  });

  it("leaves the terminal to others while it is suspended, and continues below their output", async () => {
    const terminal = await withAgent();
    await terminal.until((text) => text.includes("0 requests"), "a status");
    await terminal.press("C-z");
    await terminal.until((text) => text.includes("Stopped"), "stopped agent");
    await terminal.type("echo hello; fg");
    await terminal.until((text) => (text.match(/0 requests/g) ?? []).length === 2, "another status");
    expect(await terminal.text()).toMatch(/0 requests, 0\/s\n(?:\^Z)?\n?\[1\]\+ {2}Stopped[^]*\nhello\n/);
    await ask("/item");
    await terminal.until((text) => text.endsWith("GET /item"), "a request");
  });

  it("shuts down cleanly when its terminal is closed: requests in progress are answered", async () => {
    const terminal = await withAgent();
    const traffic = Traffic.start(scene, server.proxy, "web", { get: 50 });
    await eventually(() => traffic.count("get") > 20, "requests");
    const second = await withAgent();
    await terminal.close();
    await server.program.waitFor("upstream disconnected");
    const { failures } = await traffic.stop();
    expect(failures).toEqual([]);
    await second.close();
    await eventually(async () => (await tunnels()) === "{}\n" || (await tunnels()) === "{}", "no tunnels");
  });

  it("continues under nohup when its terminal is closed", async () => {
    const directory = await scene.directory();
    const terminal = await Terminal.open(scene, { columns: 80, directory });
    await terminal.type(`nohup ${start()} & echo "pid $!"`);
    const text = await terminal.until((shown) => /pid \d+/.test(shown), "its number");
    const pid = Number(/pid (\d+)/.exec(text)?.[1]);
    scene.defer(() => void process.kill(pid, "SIGKILL"));
    await eventually(async () => (await tunnels()).includes("web"), "a tunnel");
    await terminal.close();
    expect((await curl(server.proxy, "web", "/item")).status).toBe(200);
    expect(server.program.lines.some((line) => line.text.includes("upstream disconnected"))).toBe(false);
  });
});
