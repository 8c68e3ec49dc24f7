// Acts like a user who has just cloned the project: types what the README and the quickstart show, each program in its own
// terminal, and compares what appears with what they say.

import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createHosts } from "../harness/private-hosts.js";
import { perTest } from "../harness/stage.js";
import { Terminal } from "../harness/terminal.js";
import { haveTools } from "../harness/tools.js";
import { commandsOf, fencesOf, ROOT } from "./fences.js";

const scene = perTest();
const README = fencesOf("README.md");
const QUICKSTART = fencesOf("docs/guides/quickstart.md");

/** Replaces node ids and times, which differ each time. */
const scrub = (text: string): string =>
  text
    .replaceAll(/\bNode \w+ is running/g, "Node ID is running")
    .replaceAll(/tunnels {2}\w+ [\d.]+ m?s/g, "tunnels  ID MS");

/** A command that both documents show. */
function shown(line: string): string {
  for (const fences of [README, QUICKSTART]) expect(fences.flatMap(commandsOf)).toContain(line);
  return line;
}

describe.runIf(haveTools("tmux", "bash", "ip", "curl", "python3"))("a newcomer", () => {
  it.each([80, 120])("sees what the documents say, in %s columns", async (columns) => {
    const hosts = await createHosts(scene, ["10.0.0.1"]);
    if (hosts === undefined) return;
    const directory = await scene.directory();
    symlinkSync(join(ROOT, "node_modules"), join(directory, "node_modules"));
    const open = (): Promise<Terminal> =>
      Terminal.open(scene, { columns, directory, around: hosts[0].around });

    const server = await open();
    await server.type(`clear; ${shown("npx piko server")}`);
    const screen =
      QUICKSTART.find(({ text }) => text.startsWith("Node "))?.text ?? "no screen in the document";
    const first = await server.until((text) => /localhost:8000\/$/m.test(text), "started server");
    expect(scrub(first)).toContain(scrub(screen));
    expect(screen.split("\n").filter((line) => line.length > 80)).toEqual([]);

    const service = await open();
    // The README mentions the command in a sentence.
    await service.type(QUICKSTART.flatMap(commandsOf).find((line) => line.startsWith("python3")) ?? "false");
    await service.until((text) => text.includes("Serving HTTP"), "service");

    const agent = await open();
    await agent.type(`clear; ${shown("npx piko agent http my-endpoint 3000")}`);
    const call = shown("curl -H 'x-piko-endpoint: my-endpoint' http://localhost:8000/");
    const status = await agent.until((text) => /tunnels.* m?s\n {2}0 requests/.test(text), "status");
    expect(scrub(status)).toContain(`\
The server doesn't announce its public URL. Without a proxy in front, it is:
  ${call}

my-endpoint -> http://localhost:3000
  1 of 2 tunnels  ID MS
  0 requests, 0/s`);

    const client = await open();
    const ask = async (line: string, answer: string): Promise<void> => {
      await client.type(`clear; ${line}; echo " done"`);
      const text = await client.until((seen) => seen.endsWith(" done\n$"), line);
      // The terminal wraps lines that are wider than it is.
      expect(text.replaceAll("\n", "")).toContain(answer);
    };
    await ask(call, "Directory listing");
    await ask("curl http://my-endpoint.localhost:8000/", "Directory listing");
    await ask("curl http://localhost:8002/status/upstream/endpoints", '{"my-endpoint":1}');
    const seen = await agent.until((text) => text.includes("  2 requests"), "two requests");
    expect(seen.match(/^\d\d:\d\d:\d\d {2}200 .* ms {2}GET \/$/gm)).toHaveLength(2);

    // The quickstart's table of what clients get.
    await service.press("C-c");
    await service.until((text) => text.endsWith("\n$"), "stopped service");
    await ask(call, '"reason":"connect_refused"');
    await ask(
      call.replace("my-endpoint", "nobody"),
      '{"error":"no available upstreams","endpoint":"nobody","reason":"no_upstream"}',
    );
    await ask("curl http://localhost:8000/", '"reason":"no_endpoint"');
    await agent.press("C-c");
    await agent.until((text) => text.endsWith("shutdown complete\n$") || /complete\n+\$$/.test(text), "end");
    await ask(call, '"reason":"no_upstream"');
    await server.press("C-c");
    await server.until((text) => /shutdown complete\n+\$$/.test(text), "stopped server");
  });
});
