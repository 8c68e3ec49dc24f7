// gRPC with grpc-go: the gRPC project's interoperability calls, from its client to its service, through one node and two;
// and health checking and reflection with grpcurl.

import { expect, it } from "vitest";
import { buildGoPeer, haveGo } from "../harness/go-peer.js";
import { GrpcClient, status } from "../harness/grpc.js";
import { installGo } from "../harness/go-tools.js";
import { startAgent, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const scene = perTest();
/** Time for a first build, when Go has nothing cached. */
const BUILD_MS = 600_000;
const CASES =
  "empty_unary large_unary compressed_unary client_streaming server_streaming ping_pong empty_stream timeout_on_sleeping_server cancel_after_begin cancel_after_first_response status_code_and_message special_status_message custom_metadata unimplemented_method";

/** Address of the Go service. */
async function startService(): Promise<string> {
  const program = startProgram(scene, "grpc-go service", await buildGoPeer("grpc-peer"), ["serve"]);
  const { fields } = await program.waitFor("listening");
  return String(fields["addr"]);
}

it.runIf(haveGo).each(["one node", "two nodes"])(
  "calls by grpc-go get the right responses through %s",
  { timeout: BUILD_MS },
  async (way) => {
    const addr = await startService();
    const server = await startServer(scene);
    const near = way === "one node" ? server : await startServer(scene, { "cluster.join": server.gossip });
    await startAgent(scene, server.upstream, "web", addr, { flags: ["--protocol", "grpc"] });
    const client = new GrpcClient(scene, near.proxy, "web");
    // The service doesn't know this method; its UNIMPLEMENTED shows that the route works.
    await expect
      .poll(async () => (await client.fail(0)).code, { timeout: 30_000 })
      .toBe(status.UNIMPLEMENTED);
    const path = await buildGoPeer("grpc-peer");
    const args = ["call", "--target", near.proxy, "--endpoint", "web", "--rounds", "3"];
    const { code, stderr, stdout } = await run(path, args, { ms: 170_000 });
    expect([stderr, code]).toEqual(["", 0]);
    expect(JSON.parse(stdout)).toEqual({ event: "called", cases: CASES });
  },
);

it.runIf(haveGo)(
  "grpcurl finds a service's methods by reflection, checks its health, and calls it",
  { timeout: BUILD_MS },
  async (context) => {
    const grpcurl =
      (await installGo("github.com/fullstorydev/grpcurl/cmd/grpcurl", "v1.9.1")) ??
      context.skip("no grpcurl");
    const addr = await startService();
    const server = await startServer(scene);
    await startAgent(scene, server.upstream, "web", addr, { flags: ["--protocol", "grpc"] });
    const ask = async (...args: string[]): Promise<string> => {
      const own = ["-plaintext", "-authority", "web.example.com"];
      const { stderr, stdout } = await run(grpcurl, [...own, ...args]);
      return stdout + stderr;
    };
    const listed = await ask(server.proxy, "list");
    expect(listed.trim().split("\n").sort()).toContain("grpc.testing.TestService");
    expect(await ask(server.proxy, "grpc.health.v1.Health/Check")).toMatch(/"status": "SERVING"/);
    const payload = '{"response_size": 3, "payload": {"body": "AAAA"}}';
    expect(await ask("-d", payload, server.proxy, "grpc.testing.TestService/UnaryCall")).toMatch(
      /"body": "AAAA"/,
    );
  },
);
