// `piko bench http` against a real server, and against servers that misbehave.

import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, it } from "vitest";
import { PIKO, startServer } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const scene = perTest();

/** Runs the benchmark with few upstreams against these two ports. */
function bench(proxy: string, upstream: string, ...args: readonly string[]) {
  return run(PIKO, [
    "bench",
    "http",
    "--connect.proxy-url",
    `http://${proxy}`,
    "--connect.upstream-url",
    `http://${upstream}`,
    "--endpoints",
    "3",
    "--upstreams",
    "5",
    "--clients",
    "8",
    ...args,
  ]);
}

/** Starts a server that takes the place of the proxy port; returns its address. */
async function startFake(handler: RequestListener): Promise<string> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  scene.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it("prints throughput and latencies, and exits with 0", async () => {
  const { proxy, upstream } = await startServer(scene);
  const { code, stdout, stderr } = await bench(proxy, upstream, "--requests", "500", "--size", "20000");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const lines = stdout.trimEnd().split("\n");
  expect(lines[0]).toMatch(/^Throughput: \d+\.\d requests\/sec$/);
  expect(lines[1]).toMatch(/^Latency: p50 [\d.]+m?s, p90 .*, p99 .*, p99\.9 .*, max [\d.]+m?s$/);
  expect(lines.slice(2)).toEqual(["Requests: 500 succeeded, 0 failed"]);
});

it("sends every request to the endpoints in turn, with a body of the given size", async () => {
  const { proxy, upstream, program } = await startServer(scene);
  const { code } = await bench(proxy, upstream, "--requests", "30", "--size", "0");
  expect(code).toBe(0);
  const logged = program.lines.filter(({ fields }) => fields["msg"] === "request");
  // One more for each endpoint, which checks that it can be reached.
  expect(logged).toHaveLength(33);
});

it("reads a file, in which the server's section has its own name", async () => {
  const { proxy, upstream } = await startServer(scene);
  const path = join(await scene.directory(), "bench.yaml");
  const server = `{proxy_url: "http://${proxy}", upstream_url: "http://${upstream}", timeout: 10s}`;
  await writeFile(
    path,
    `requests: 20\nclients: 2\nendpoints: 1\nupstreams: 1\nsize: 10\nserver: ${server}\n`,
  );
  const { code, stdout } = await run(PIKO, ["bench", "http", "--config.path", path, "--requests", "25"]);
  expect(code).toBe(0);
  expect(stdout).toContain("Requests: 25 succeeded, 0 failed");
});

it("sends requests only to endpoints with an upstream if there are fewer upstreams than endpoints", async () => {
  const { proxy, upstream } = await startServer(scene);
  const { code, stdout, stderr } = await bench(proxy, upstream, "--requests", "30", "--upstreams", "2");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toContain("Requests: 30 succeeded, 0 failed");
});

it("counts errors by kind and exits with 1 when requests fail", async () => {
  const { upstream } = await startServer(scene);
  const asked = new Map<unknown, number>();
  // Fake proxy: two endpoints answer only their first request, which checks that they can be reached.
  const proxy = await startFake((request, response) => {
    const endpoint = request.headers["x-piko-endpoint"];
    const count = (asked.get(endpoint) ?? 0) + 1;
    asked.set(endpoint, count);
    if (count > 1 && endpoint === "endpoint-1") response.writeHead(503).end();
    else if (count > 1 && endpoint === "endpoint-2") request.socket.destroy();
    else request.pipe(response);
  });
  const { code, stdout, stderr } = await bench(proxy, upstream, "--requests", "60");
  expect(code).toBe(1);
  expect(stdout.split("\n").slice(2).sort().join("\n").trim()).toBe(
    "20 x ECONNRESET\n  20 x status 503\nRequests: 20 succeeded, 40 failed",
  );
  expect(stderr).toContain("40 of 60 requests failed");
});

it("reports which endpoint can't be reached, and why, and exits with 1", async () => {
  const { upstream } = await startServer(scene);
  const proxy = await startFake((_, response) => void response.writeHead(418).end());
  const { code, stderr } = await bench(proxy, upstream, "--connect.timeout", "200ms");
  expect(code).toBe(1);
  expect(stderr).toContain("endpoint-0 can't be reached within 200ms: status 418");
});
