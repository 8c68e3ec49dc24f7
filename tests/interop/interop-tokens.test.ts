// Tokens made by golang-jwt, the library that the Go program uses: good and bad tokens at every port and node, and Go agents
// with tokens.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ADMIN_WAYS, type Refused, RefusalScene, WAYS } from "../auth/refusal-scene.js";
import { buildGoPeer, haveGo, startGoAgent } from "../harness/go-peer.js";
import { perFile } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const stage = perFile();
const SECRET = "a secret of both, go's and ours";
/** Tokens by name; `error` is empty if the token is accepted. */
const tokens = new Map<string, { readonly token: string; readonly error: string }>();
let scene: RefusalScene;

const tokenOf = (name: string): string => tokens.get(name)?.token ?? "";

describe.skipIf(!haveGo)("tokens of golang-jwt", () => {
  beforeAll(async () => {
    const { stdout } = await run(await buildGoPeer(), ["tokens", "--secret", SECRET], {
      showsSecrets: true,
    });
    const [keys, ...made] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, string>);
    for (const { name = "", token = "", error = "" } of made) tokens.set(name, { token, error });
    const revoked = join(await stage.directory(), "revoked");
    await writeFile(revoked, "revoked\n");
    const flags = (port: string): Record<string, string> => ({
      [`${port}.auth.hmac-secret-key`]: SECRET,
      [`${port}.auth.rsa-public-key`]: keys?.["rsa"] ?? "",
      [`${port}.auth.ecdsa-public-key`]: keys?.["ecdsa"] ?? "",
      [`${port}.auth.audience`]: "piko",
      [`${port}.auth.issuer`]: "go",
      [`${port}.auth.revoked-file`]: revoked,
    });
    scene = await RefusalScene.start(stage, flags, tokenOf("ES256"));
    await startGoAgent(stage, scene.guarded.upstream, "web", scene.service.addr, [
      "--token",
      tokenOf("ES256"),
    ]);
  }, 300_000);

  /** The tokens that are refused; with `endpoints` false, without those that are refused only because of their endpoint. */
  const refused = (endpoints: boolean): readonly Refused[] =>
    [...tokens]
      .filter(([, { error }]) => error !== "" && (endpoints || error !== "endpoint not permitted"))
      .map(([name, { error, token }]) => ({ name, error, fields: [`Authorization: Bearer ${token}`] }));

  it.each(WAYS)("are refused: %s", async (way) => {
    expect(refused(true).length).toBeGreaterThan(30);
    await scene.expectRefused(way, refused(true));
  });

  it.each(ADMIN_WAYS)("are refused: %s", async (way) => {
    await scene.expectRefused(way, refused(false));
  });

  it("never reach a service if they are refused", () => {
    scene.expectNothingReceived();
  });

  it.each(WAYS)("are accepted: %s", async (way) => {
    const [addr, head] = scene.way(way);
    const expected = head.includes("Upgrade: websocket") ? 101 : 200;
    const good = [...tokens].filter(([, { error }]) => error === "");
    expect(good.length).toBeGreaterThan(10);
    for (const [name, { token }] of good) {
      const { status } = await scene.ask(addr, head, [`Authorization: Bearer ${token}`]);
      expect(`${name}: ${status}`).toBe(`${name}: ${expected}`);
    }
  });

  it("give a Go agent the reason when its token is refused", async () => {
    const to = ["--url", `http://${scene.guarded.upstream}`, "--target", scene.service.addr];
    const agentOutput = async (name: string): Promise<string> => {
      const args = ["agent", ...to, "--endpoint", "web", "--token", tokenOf(name)];
      const { stdout } = await run(await buildGoPeer(), args);
      return stdout;
    };
    expect(await agentOutput("expired")).toContain("expired token");
    expect(await agentOutput("another endpoint")).toContain("endpoint not permitted");
  });
});
