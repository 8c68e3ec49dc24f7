import { expect, it } from "vitest";
import { RecordedLog } from "../../test/recorded-log.js";
import { loadConfig } from "../config/load-config.js";
import { SERVER, type ServerConfig } from "../config/server.js";
import { ConfigReload, type Reloadable } from "./config-reload.js";

function server(...given: [keys: string, value: unknown][]): ServerConfig {
  const sources = { path: undefined, expandEnv: false, env: {} };
  return loadConfig(SERVER, {
    ...sources,
    given: given.map(([keys, value]) => ({ keys: keys.split("."), value, flag: keys })),
  });
}

function rig(reloadables: readonly Reloadable<ServerConfig>[]) {
  const log = new RecordedLog();
  const next = { config: server() };
  const load = (): ServerConfig => next.config;
  const reload = new ConfigReload({
    declared: SERVER,
    config: server(),
    load,
    reloadables,
    logger: log.logger,
  });
  return { log, next, reload };
}

it("applies what can change, and logs each time what has changed and what needs a restart", async () => {
  const levels: string[] = [];
  const { log, next, reload } = rig([
    { paths: ["log.level"], apply: ({ log: { level } }) => void levels.push(level) },
    { paths: ["proxy.limits"], apply: () => expect.unreachable() },
  ]);
  const said = (index: number) => log.line("configuration reloaded", index);
  await reload.run();
  expect(await said(0)).toMatchObject({ level: "info", changed: [] });
  next.config = server(["log.level", "warn"], ["proxy.timeoutMs", "1s"]);
  await reload.run();
  await reload.run();
  expect(levels).toEqual(["warn"]);
  const waiting = { level: "warn", "needs-restart": ["proxy.timeout"] };
  expect(await said(1)).toMatchObject({ ...waiting, changed: ["log.level"] });
  // The restart is still needed.
  expect(await said(2)).toMatchObject({ ...waiting, changed: [] });
  next.config = server(["log.level", "warn"]);
  await reload.run();
  expect(await said(3)).not.toHaveProperty("needs-restart");
});

it("keeps the previous settings after a failure, and tries again", async () => {
  let fails = true;
  const { log, next, reload } = rig([
    {
      paths: ["log"],
      apply: () => {
        if (fails) throw new Error("no");
      },
    },
  ]);
  next.config = server(["log.level", "warn"]);
  await reload.run();
  await log.line("could not reload the configuration, still using the previous one");
  fails = false;
  await reload.run();
  expect(await log.line("configuration reloaded")).toMatchObject({ changed: ["log.level"] });
});
