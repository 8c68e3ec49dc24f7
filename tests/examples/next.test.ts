// The example of a Next custom server: in development, where Next has a WebSocket of its own, and with `npm run test:long`
// also built for production.

import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { eventually } from "../harness/deadline.js";
import { LONG } from "../harness/long-run.js";
import { nextProject } from "../harness/next-project.js";
import { type RunningServer, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const scene = perTest();
const project = await nextProject();
const fields = { "x-piko-endpoint": "next" };

async function page({ proxy }: RunningServer): Promise<string> {
  const response = await fetch(`http://${proxy}/`, { headers: { ...fields, connection: "close" } });
  return await response.text();
}

/** The first event of a stream that doesn't end by itself. */
async function firstEvent({ proxy }: RunningServer): Promise<string> {
  const response = await fetch(`http://${proxy}/events`, { headers: fields });
  const reader = response.body?.getReader();
  const event = await reader?.read();
  await reader?.cancel();
  return Buffer.from(event?.value ?? []).toString();
}

function answered(server: RunningServer): Promise<true> {
  const greets = async (): Promise<boolean> =>
    (await page(server).catch(() => "")).includes("<p>hello from Next</p>");
  return eventually(greets, "the page");
}

describe.skipIf(project === undefined)("examples/next", () => {
  const folder = project ?? "";

  it.each(["development", ...(LONG ? ["production"] : [])])(
    "is reached through a node and after its restart, and stops cleanly, in %s mode",
    async (mode) => {
      const environment = { NODE_ENV: mode, NEXT_TELEMETRY_DISABLED: "1" };
      await rm(join(folder, ".next"), { recursive: true, force: true });
      if (mode === "production") {
        const next = join(folder, "node_modules", ".bin", "next");
        const { code, stderr } = await run(next, ["build"], { cwd: folder, env: environment });
        expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      }
      const server = await startServer(scene);
      const { proxy, upstream } = server;
      const env = { ...environment, PIKO_CONNECT_URL: `http://${upstream}` };
      const program = startProgram(scene, mode, process.execPath, [join(folder, "server.mjs")], { env });
      await program.waitForLine(({ text }) => text === "listening on endpoint next", "listening");
      await answered(server);
      expect(await firstEvent(server)).toMatch(/^data: \d{4}-.*\n\n$/);
      if (mode === "development") {
        const client = new WebSocket(`ws://${proxy}/_next/hmr?id=1`, { headers: fields });
        await once(client, "message");
        client.close();
        await once(client, "close");
      }
      await server.program.stop();
      const again = await startServer(scene, { "proxy.bind-addr": proxy, "upstream.bind-addr": upstream });
      await answered(again);
      await program.stop();
      expect(program.exit).toEqual({ code: 0, signal: null });
    },
  );
});
