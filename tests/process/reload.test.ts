// SIGHUP without a terminal: the configuration is reloaded while requests run, and none of them is lost.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { curl } from "../harness/curl.js";
import { piko, startAgent, startServer } from "../harness/piko.js";
import type { LogLine, Program } from "../harness/program.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { Traffic } from "../harness/traffic.js";

const scene = perTest();

/** Makes a program reload its file, and returns the fields of the log line with the result. */
async function reload(program: Program, message = "configuration reloaded"): Promise<LogLine["fields"]> {
  const from = program.lines.length;
  program.signal("SIGHUP");
  return (await program.waitFor(message, { from })).fields;
}

it("replaces an agent's listeners under 300 requests a second, without losing one", async () => {
  const service = await Service.start(scene);
  const server = await startServer(scene);
  const path = join(await scene.directory(), "agent.yaml");
  const write = (...listeners: string[]): void =>
    writeFileSync(path, `connect: {url: "http://${server.upstream}"}\nlisteners:\n${listeners.join("")}`);
  const listener = (id: string, more = ""): string =>
    `  - {endpoint_id: ${id}, addr: "${service.addr}"${more}}\n`;
  write(listener("web"));
  const agent = piko(scene, "agent", ["agent", "start", "--config.path", path]);
  await agent.waitFor("connected");

  const traffic = Traffic.start(scene, server.proxy, "web", { get: 200, post: 100 });
  for (let reloads = 0; reloads < 20 || traffic.count("post") < 50; reloads++) {
    write(listener("web", `, timeout: ${60 + (reloads % 50)}s`), listener("other"));
    expect(await reload(agent)).toMatchObject({ level: "info", changed: ["listeners"] });
  }
  const { failures } = await traffic.stop();
  expect(failures).toEqual([]);
  expect((await curl(server.proxy, "other", "/item")).status).toBe(200);
  // A listener that is removed from the file disappears from the server.
  write(listener("other"));
  await reload(agent);
  const gone = await curl(server.proxy, "web", "/item", { args: ["--max-time", "30"] });
  expect(gone.status).toBe(502);
});

it("replaces all of many listeners, without a warning from Node.js about event listeners", async () => {
  const service = await Service.start(scene);
  const server = await startServer(scene);
  const path = join(await scene.directory(), "agent.yaml");
  const write = (timeout: string): void => {
    const listeners = Array.from(
      { length: 30 },
      (_, i) => `  - {endpoint_id: web-${i}, addr: "${service.addr}", timeout: ${timeout}}\n`,
    );
    writeFileSync(path, `connect: {url: "http://${server.upstream}"}\nlisteners:\n${listeners.join("")}`);
  };
  write("30s");
  const agent = piko(scene, "agent", ["agent", "start", "--config.path", path]);
  await agent.waitFor("connected");
  write("40s");
  expect(await reload(agent)).toMatchObject({ level: "info", changed: ["listeners"] });
  // Warnings from Node.js itself: the harness fails for some of them, this test for all.
  expect(agent.lines.filter(({ text }) => /^\(node:\d+\)|Warning/.test(text))).toEqual([]);
});

it("changes a server's log, access log and limits, and logs what needs a restart", async () => {
  const service = await Service.start(scene);
  const path = join(await scene.directory(), "server.yaml");
  writeFileSync(path, "log: {level: info}\n");
  const server = await startServer(scene, { "config.path": path });
  await startAgent(scene, server.upstream, "web", service.addr);
  const logged = (): number =>
    server.program.lines.filter(({ fields }) => fields["msg"] === "request").length;

  writeFileSync(
    path,
    "proxy:\n  timeout: 7s\n  access_log: {disable: true}\n  limits: {max_body_bytes: 10}\nlog: {subsystems: [gossip]}\n",
  );
  expect(await reload(server.program)).toMatchObject({
    level: "warn",
    changed: ["proxy.access_log.disable", "proxy.limits.max_body_bytes", "log.subsystems"],
    "needs-restart": ["proxy.timeout"],
  });
  const before = logged();
  const large = await curl(server.proxy, "web", "/echo", { args: ["--data", "x".repeat(11)] });
  expect(large.status).toBe(413);
  writeFileSync(path, "log: {level: info}\n");
  await reload(server.program);
  expect((await curl(server.proxy, "web", "/echo", { args: ["--data", "x".repeat(11)] })).status).toBe(200);
  await server.program.waitFor("request");
  expect(logged()).toBe(before + 1);
});

it("continues unchanged if the file is invalid or missing", async () => {
  const path = join(await scene.directory(), "server.yaml");
  writeFileSync(path, "log: {level: info}\n");
  const server = await startServer(scene, { "config.path": path });
  writeFileSync(path, "log: {level: loud}\n");
  const failed = await reload(
    server.program,
    "could not reload the configuration, still using the previous one",
  );
  expect(failed["error"]).toContain("server.yaml:1:14: log.level (--log.level): must be one of");

  const bare = await startServer(scene);
  await reload(bare.program, "nothing to reload: there is no configuration file");
  const forward = piko(scene, "forward", ["forward", "tcp", "127.0.0.1:0", "e"]);
  await forward.waitFor("listening");
  await reload(forward, "nothing to reload: there is no configuration file");
});
