// Tokens made by the library that the Go program uses (golang-jwt), and its agents and forwarders with tokens.

import { beforeAll, describe, expect, it } from "vitest";
import { untilEndpoints } from "../harness/cluster.js";
import { buildGoPeer, haveGo, startGoAgent } from "../harness/go-peer.js";
import { type RunningServer, startServer } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perFile } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const stage = perFile();
const SECRET = "a secret of both, go's and ours";
const tokens = new Map<string, string>();
let service: Service;
/** Has the agents. */
let server: RunningServer;
/** Sends requests on to it. */
let first: RunningServer;

describe.skipIf(!haveGo)("tokens of golang-jwt", () => {
  beforeAll(async () => {
    const { stdout } = await run(await buildGoPeer(), ["tokens", "--secret", SECRET]);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, string>);
    for (const { name, token } of lines)
      if (name !== undefined && token !== undefined) tokens.set(name, token);
    const flags = (port: string): Record<string, string> => ({
      [`${port}.auth.hmac-secret-key`]: SECRET,
      [`${port}.auth.rsa-public-key`]: lines[0]?.["rsa"] ?? "",
      [`${port}.auth.ecdsa-public-key`]: lines[0]?.["ecdsa"] ?? "",
      [`${port}.auth.audience`]: "piko",
    });
    service = await Service.start(stage);
    first = await startServer(stage, { "cluster.node-id": "first", ...flags("proxy") });
    const join = { "cluster.node-id": "second", "cluster.join": first.gossip };
    server = await startServer(stage, { ...join, ...flags("proxy"), ...flags("upstream") });
    await startGoAgent(stage, server.upstream, "web", service.addr, ["--token", tokens.get("ES256") ?? ""]);
    await untilEndpoints(first, "second", 1);
  });

  const ask = async (at: RunningServer, name: string): Promise<string> => {
    const authorization = `Bearer ${tokens.get(name) ?? ""}`;
    const headers = { "x-piko-endpoint": "web", authorization };
    const response = await fetch(`http://${at.proxy}/reflect`, { headers });
    return response.status === 200 ? "200" : `${response.status} ${await response.text()}`;
  };

  it.each([
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "RS512",
    "ES256",
    "without expiry",
    "null endpoints",
  ])("%s is let in", async (name) => {
    expect([await ask(server, name), await ask(first, name)]).toEqual(["200", "200"]);
  });

  it.each([
    ["PS256", "invalid token"],
    ["none", "invalid token"],
    ["confused", "invalid token"],
    ["expired", "expired token"],
    ["early", "invalid token"],
    ["audience", "invalid token"],
    ["elsewhere", "endpoint not permitted"],
  ])("%s is refused: %s", async (name, error) => {
    const refusal = `401 {"error":"${error}"}`;
    expect([await ask(server, name), await ask(first, name)]).toEqual([refusal, refusal]);
  });

  it("an agent of Go with a token that isn't good is told so", async () => {
    const args = [
      "agent",
      "--url",
      `http://${server.upstream}`,
      "--endpoint",
      "web",
      "--target",
      service.addr,
    ];
    const refused = async (name: string): Promise<string> => {
      const { stdout } = await run(await buildGoPeer(), [...args, "--token", tokens.get(name) ?? ""]);
      return stdout;
    };
    expect(await refused("expired")).toContain("expired token");
    expect(await refused("elsewhere")).toContain("endpoint not permitted");
  });
});
