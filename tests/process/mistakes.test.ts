// The most common mistakes of new users, and the line that reports each: what is wrong, and what to do.

import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { PIKO, piko, type RunningServer, runPiko, startServer } from "../harness/piko.js";
import type { Program } from "../harness/program.js";
import { perFile } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const stage = perFile();
let server: RunningServer;
let service: string;
beforeAll(async () => {
  server = await startServer(stage);
  const listener = createServer((socket) => socket.on("error", () => {}).resume());
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  stage.defer(() => void listener.close());
  service = String((listener.address() as AddressInfo).port);
});

/** The exit code and the stderr of a command that fails. */
async function failing(...args: readonly string[]): Promise<string> {
  const { code, stderr } = await runPiko(...args);
  const lines = stderr.trim().split("\n");
  const last = lines.at(-1) ?? "";
  return `${code} ${last.startsWith("{") ? String((JSON.parse(last) as { error: unknown }).error) : last}`;
}

/** The reason in a program's first log line with this message. */
async function loggedReason(program: Program, message: string): Promise<string> {
  const { fields } = await program.waitFor(message);
  return String(fields["error"] ?? fields["reason"]);
}

describe("the error explains an agent's url", () => {
  const agent = (url: string): Promise<string> =>
    failing("agent", "http", "web", service, "--connect.url", url);

  it.each(["127.0.0.1", "localhost", "piko.localhost"])(
    "that leads to the proxy port, at %s",
    async (host) => {
      const url = `http://${host}:${server.proxy.split(":")[1]}`;
      const { stderr } = await runPiko("agent", "http", "web", service, "--connect.url", url);
      expect(stderr).toContain(
        `listen: web: ${url}: that is a proxy port; the upstream port is usually 8001 (`,
      );
      // At once, not after half a minute of attempts.
      expect(stderr).not.toContain("failed to connect to server");
    },
  );

  it("that leads to the admin port", async () => {
    expect(await agent(`http://${server.admin}`)).toBe(
      `1 listen: web: http://${server.admin}: that isn't an upstream port; the upstream port is usually 8001 (404: Not Found)`,
    );
  });

  it("that begins with https for a port without TLS", async () => {
    expect(await agent(`https://${server.upstream}`)).toBe(
      `1 listen: web: connect ${server.upstream}: the port has no TLS: the url must begin with http://${server.upstream}`,
    );
  });

  it("that no server listens on", async () => {
    const time = ["--connect.timeout", "300ms"];
    expect(
      await failing("agent", "http", "web", service, "--connect.url", "http://127.0.0.1:1", ...time),
    ).toMatch(
      /^1 listen: web: not connected after 0\.\d s: connect 127\.0\.0\.1:1: connection refused: is piko server running there\?$/,
    );
  });
});

describe("the error explains the arguments", () => {
  it("of an agent that are swapped", async () => {
    expect(await failing("agent", "http", "3000", "web")).toBe(
      "1 config: <addr>: are the arguments swapped? endpoint first, then address: piko agent http web 3000",
    );
  });

  it("of a forwarder that are swapped", async () => {
    expect(await failing("forward", "tcp", "redis", "6379")).toBe(
      "1 config: <addr>: are the arguments swapped? address first, then endpoint: piko forward tcp 6379 redis",
    );
  });
});

describe("the log explains", () => {
  const url = (): string => `http://${server.upstream}`;

  it("a service that isn't running", async () => {
    const agent = piko(stage, "agent", ["agent", "http", "web", "127.0.0.1:1", "--connect.url", url()]);
    expect(await loggedReason(agent, "service can't be reached yet: is it running?")).toContain(
      "ECONNREFUSED",
    );
  });

  it("an endpoint id that can't be a host name", async () => {
    const agent = piko(stage, "agent", ["agent", "http", "My-Web", service, "--connect.url", url()]);
    const message = "endpoint id can't be a host name: clients name it in x-piko-endpoint";
    expect(await loggedReason(agent, message)).toBe("it has capital letters");
  });

  it("a forwarder whose url leads to the upstream port", async () => {
    const args = ["forward", "tcp", "127.0.0.1:0", "redis", "--connect.url", url()];
    const forward = piko(stage, "forward", args);
    expect(await loggedReason(forward, "endpoint can't be reached yet")).toBe(
      `${url()}: that isn't a proxy port; the proxy port is usually 8000 (404: not found)`,
    );
  });

  it("a forwarder's server that isn't running", async () => {
    const args = ["forward", "tcp", "127.0.0.1:0", "redis", "--connect.url", "http://127.0.0.1:1"];
    const forward = piko(stage, "forward", args);
    expect(await loggedReason(forward, "endpoint can't be reached yet")).toBe(
      "connect 127.0.0.1:1: connection refused: is piko server running there?",
    );
  });
});

describe("the error explains a server", () => {
  it.each([
    ["--proxy.bind-addr", "proxy", "proxy.bind_addr"],
    ["--upstream.bind-addr", "upstream", "upstream.bind_addr"],
    ["--admin.bind-addr", "admin", "admin.bind_addr"],
    ["--cluster.gossip.bind-addr", "gossip", "cluster.gossip.bind_addr"],
  ] as const)("whose port (%s) is in use", async (flag, name, setting) => {
    const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
      (port) => `--${port}.bind-addr=127.0.0.1:0`,
    );
    expect(await failing("server", ...ports, flag, server[name])).toBe(
      `1 ${name} listen: ${server[name]}: address already in use: by another piko? ${flag} (${setting}) chooses another`,
    );
  });

  it("that runs on a Node.js version that is too old", async () => {
    // Sets the version that this Node.js reports.
    const old = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'18.20.4'})";
    const { code, stderr } = await run(process.execPath, ["--import", old, PIKO, "server"]);
    expect(stderr).toBe("piko needs Node.js 20.19 or later, and this is 18.20.4\n");
    expect(code).toBe(1);
  });
});
