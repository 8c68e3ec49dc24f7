// Programs that are stopped and started again: what is in progress ends in order, and others take over.

import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { asking, get } from "../harness/asking.js";
import { eventually } from "../harness/deadline.js";
import { type RunningServer, startAgent, startForward, startServer, startTunnel } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startEchoService, startRawService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";

const scene = perTest();
const { ask, untilStatus } = asking(scene);

/** Flags that start a server on the ports of one that has ended. */
const samePorts = (server: RunningServer): Record<string, string> => ({
  "proxy.bind-addr": server.proxy,
  "upstream.bind-addr": server.upstream,
  "admin.bind-addr": server.admin,
});

describe("an agent that stops", () => {
  it("cuts what is left at the end of its grace period", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene);
    const flags = ["--grace-period", "500ms"];
    const agent = await startAgent(scene, server.upstream, "web", service.addr, { flags });
    const hanging = await RawClient.connect(scene, server.proxy);
    hanging.send(get("/hang"));
    const { aborted } = await service.request("/hang");
    agent.signal("SIGTERM");
    await agent.stopped();
    expect((await hanging.response()).status).toBe(502);
    await aborted;
  });

  it("before it was ever connected exits without waiting for a connection", async () => {
    const nobody = await startRawService(scene, () => {});
    await nobody.stop();
    const agent = await startAgent(scene, nobody.addr, "web", "127.0.0.1:1", { wait: false });
    await agent.waitForLine(({ text }) => /connect/i.test(text), "attempt to connect");
    agent.signal("SIGTERM");
    await agent.stopped();
  });
});

describe("a server that is restarted on its ports", () => {
  it.each(["SIGTERM", "SIGKILL"] as const)("after %s is found again by its agents", async (signal) => {
    const service = await Service.start(scene);
    const first = await startTunnel(scene, service.addr);
    first.server.program.signal(signal);
    await first.server.program.exited;
    // Long enough for the agent to fail to connect more than once.
    await delay(500);
    const second = await startServer(scene, samePorts(first.server));
    await untilStatus(second.proxy, 200);
    expect(first.agent.exit).toBeUndefined();
  });

  it("is found again by a forwarder's next connection", async () => {
    const { addr } = await startEchoService(scene);
    const first = await startServer(scene);
    await startAgent(scene, first.upstream, "echo", addr, { mode: "tcp" });
    const forward = await startForward(scene, first.proxy, "echo");
    const before = await RawClient.connect(scene, forward.addr);
    before.send("x");
    await before.take(1);
    await first.program.kill();
    expect((await before.rest()).length).toBe(0);
    await startServer(scene, samePorts(first));
    await eventually(async () => {
      try {
        const client = await RawClient.connect(scene, forward.addr);
        client.send("y");
        return (await client.take(1)).toString() === "y";
      } catch {
        return false;
      }
    }, "echo");
  });
});

describe("a server that stops", () => {
  it("finishes the requests in progress and then exits with 0", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr);
    const slow = await RawClient.connect(scene, server.proxy);
    slow.send(get("/slow?head=500"));
    const events = await RawClient.connect(scene, server.proxy);
    events.send(get("/events?count=5&ms=150"));
    const idle = await RawClient.connect(scene, server.proxy);
    idle.send(get("/item?i=1"));
    await idle.response();
    await service.request("/slow");
    // This response's head is sent before the signal, so it can't announce that the connection will close.
    await eventually(() => events.buffer.length > 0, "response head");
    server.program.signal("SIGTERM");
    expect((await idle.rest()).length).toBe(0);
    expect((await slow.response()).body.toString()).toBe("ok");
    expect((await events.response()).body.toString().match(/data: /g)).toHaveLength(5);
    await server.program.stopped();
  });

  it("cuts what is left at the end of its grace period", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, { "grace-period": "500ms" });
    await startAgent(scene, server.upstream, "web", service.addr);
    const hanging = await RawClient.connect(scene, server.proxy);
    hanging.send(get("/hang"));
    await service.request("/hang");
    const upgraded = await RawClient.connect(scene, server.proxy);
    upgraded.send("GET /up HTTP/1.1\r\nHost: web.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    await upgraded.response();
    server.program.signal("SIGTERM");
    await server.program.stopped();
    await hanging.rest();
    await upgraded.rest();
  });

  it("exits at once on the second signal", async () => {
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr);
    const client = await RawClient.connect(scene, server.proxy);
    client.send(get("/hang"));
    await service.request("/hang");
    server.program.signal("SIGTERM");
    await server.program.waitForLine(({ text }) => /shut|stop|drain/i.test(text), "notice of the shutdown");
    server.program.signal("SIGTERM");
    // After one signal it would wait for the request, and exit with 0.
    expect(await server.program.exited).toEqual({ code: 143, signal: null });
  });

  it("isn't ready after the signal", async () => {
    const service = await Service.start(scene);
    const server = await startServer(scene, { "drain-delay": "1s" });
    await startAgent(scene, server.upstream, "web", service.addr);
    expect((await fetch(`http://${server.admin}/ready`)).status).toBe(200);
    server.program.signal("SIGTERM");
    await eventually(async () => (await fetch(`http://${server.admin}/ready`)).status === 503, "503");
    expect((await ask(server.proxy)).status).toBe(200);
    await server.program.stopped();
  });
});

describe("an address that is in use", () => {
  it("ends the start with one clear line and code 1", async () => {
    const taken = await startRawService(scene, () => {});
    const failed = startServer(scene, { "proxy.bind-addr": taken.addr });
    await expect(failed).rejects.toThrow(/address already in use|EADDRINUSE/);
  });
});
