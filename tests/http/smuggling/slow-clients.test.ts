// Clients that are deliberately slow, by slowhttptest: many connections on which heads, bodies or reading hardly progress.
// Meanwhile a normal client is served; the slow ones are cut, and leave nothing behind.

import { readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { expect, it } from "vitest";
import { eventually } from "../../harness/deadline.js";
import { type RunningServer, startAgent, startServer } from "../../harness/piko.js";
import { RawClient } from "../../harness/raw-client.js";
import { Service } from "../../harness/service.js";
import { perTest } from "../../harness/stage.js";
import { haveTools, run } from "../../harness/tools.js";

const CONNECTIONS = 400;
/**
 * Fewer, because on one machine the system buffers up to 8 MB for each reader, and slows all TCP connections when its memory
 * is used up.
 */
const READERS = 60;
const SECONDS = 6;
/** Minimum number of answers for the normal client during an attack. If the slow clients delayed it, it would get one or two. */
const SERVED = 8;
// The tool's output contains escape characters.
// oxlint-disable-next-line no-control-regex
const COLORS = /\x1b\[[0-9;]*m/g;
const SLACK_BYTES = 100e6;

const scene = perTest();
const haveTool = haveTools("slowhttptest");

const common = ["-r", "200", "-l", `${SECONDS}`, "-p", "3"];

it.runIf(haveTool).each([
  ["heads", CONNECTIONS, ["-H", "-i", "1", "-x", "24", "-t", "GET", "-u", "http://web.test/item"]],
  [
    "bodies",
    CONNECTIONS,
    ["-B", "-i", "1", "-s", "8192", "-x", "10", "-t", "POST", "-u", "http://web.test/sum"],
  ],
  [
    "readers",
    READERS,
    ["-X", "-w", "10", "-y", "20", "-n", "2", "-z", "32", "-k", "3", "-u", "http://web.test/bytes?n=4000000"],
  ],
])("slow %s don't delay other clients", async (_what, connections, args) => {
  const service = await Service.start(scene);
  const limit = "2s";
  const server = await startServer(scene, {
    "proxy.http.read-header-timeout": limit,
    "proxy.http.read-timeout": limit,
    "proxy.http.write-timeout": limit,
  });
  const agent = await startAgent(scene, server.upstream, "web", service.addr);
  await serve(server);
  const before = { bytes: await server.program.rssBytes(), files: await openFiles(server.program.pid) };
  const filesOfAgent = await openFiles(agent.pid);
  const attack = run("slowhttptest", ["-c", `${connections}`, ...common, ...args, "-d", server.proxy], {
    ms: 40_000,
  });
  const over = new AbortController();
  void attack.finally(() => over.abort());
  let served = 0;
  let maxFiles = 0;
  while (!over.signal.aborted) {
    await serve(server);
    served++;
    maxFiles = Math.max(maxFiles, await openFiles(server.program.pid));
    await delay(20);
  }
  const { stdout } = await attack;
  // Makes sure that there was an attack: the connections existed, and the tool's own probe was answered.
  expect(maxFiles).toBeGreaterThan(before.files + connections / 4);
  expect(stdout.replace(COLORS, "")).toMatch(/service available: *YES/);
  expect(served).toBeGreaterThan(SERVED);
  await eventually(
    async () => (await openFiles(server.program.pid)) <= before.files + 5,
    "end of the slow connections",
  );
  await eventually(async () => (await openFiles(agent.pid)) <= filesOfAgent + 20, "end of their requests");
  expect((await server.program.rssBytes()) - before.bytes).toBeLessThan(SLACK_BYTES);
  await serve(server);
});

/** Checks that a new client gets its answer. */
async function serve(server: RunningServer): Promise<void> {
  const client = await RawClient.connect(scene, server.proxy);
  client.send("GET /item?i=normal HTTP/1.1\r\nHost: web.test\r\nConnection: close\r\n\r\n");
  expect((await client.response()).body.toString()).toBe("item normal");
  client.socket.destroy();
}

async function openFiles(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}
