// A program that prints a secret fails the test that started it, whatever the secret's origin.

import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { CertificateWorkshop } from "@piko/testkit";
import { expect, it } from "vitest";
import { startProgram } from "./program.js";
import { findSecret, secret } from "./secrets.js";
import { perTest, Stage } from "./stage.js";
import { base64url, ecPair, inSeconds, rsaPair, token, unsigned } from "./tokens.js";
import { run } from "./tools.js";

const scene = perTest();
const PRINT = [
  "-e",
  "console.log('told', ...process.argv.slice(1).filter((each) => !each.startsWith('--')))",
];

/** Clears a stage with a program that was given these arguments, and prints those that aren't flags. */
async function runTalker(args: readonly string[], showsSecrets = false): Promise<void> {
  const stage = new Stage();
  const program = startProgram(stage, "talker", process.execPath, [...PRINT, "--", ...args], {
    showsSecrets,
  });
  await program.exited;
  await stage.clear();
}

const privatePem = (pair: ReturnType<typeof ecPair>): string =>
  pair.privateKey.export({ format: "pem", type: "pkcs8" }).toString();

it.each<[string, () => string]>([
  ["a cookie that a test has registered", () => secret("session-0123456789")],
  ["a token", () => token("HS256", "some key", { exp: inSeconds(60) })],
  ["a token's signature", () => token("RS256", rsaPair().privateKey, {}).split(".")[2] ?? ""],
  ["a token that a program made", () => unsigned({ alg: "HS256" }, { sub: "x" }, base64url("x".repeat(32)))],
  ["a private key", () => privatePem(ecPair())],
  ["a private key's d, in a JWK", () => ecPair().privateKey.export({ format: "jwk" }).d ?? ""],
  ["a hop's secret", () => `x-piko-hop: ${randomBytes(16).toString("base64url")}`],
])("fails the test: %s", async (_what, make) => {
  await expect(runTalker([`<${make()}>`])).rejects.toThrow("talker has printed the secret");
  await runTalker([make()], true);
});

it("fails the test with the line, and without the secret", async () => {
  const value = secret(randomBytes(32).toString("base64"));
  const error = await runTalker([`the key is ${value}!`]).catch(String);
  expect(error).toBe(
    `Error: talker has printed the secret ${value.slice(0, 4)}… (44 characters): told the key is [SECRET]!`,
  );
});

it("knows what a program received by flags, files and the environment", async () => {
  const folder = await scene.directory();
  const [a, b, c, d] = Array.from({ length: 4 }, () => randomBytes(32).toString("base64"));
  writeFileSync(join(folder, "key"), `${a}\n`);
  writeFileSync(join(folder, "server.yaml"), `tenants: [{id: a, auth: {hmac_secret_key: ${b}}}]\n`);
  const flags = [`--cluster.gossip.secret-key-files=${folder}/none,${folder}/key`];
  for (const [printed, args] of [
    [a, flags],
    [b, ["--config.path", join(folder, "server.yaml")]],
    [c, ["--proxy.auth.hmac-secret-key", c ?? ""]],
    [d, ["--tracing.headers", `x-api-key=${d}`]],
  ] as const) {
    await expect(runTalker([...args, `<${printed}>`])).rejects.toThrow("talker has printed");
  }
  using workshop = new CertificateWorkshop();
  const { cert, key } = workshop.authority("ca");
  await expect(run("sh", ["-c", "sed -n 3p $0", key, "--connect.tls.key", key])).rejects.toThrow(
    "sh has printed",
  );
  await expect(
    run("sh", ["-c", "echo $PIKO_CONNECT_TOKEN"], { env: { PIKO_CONNECT_TOKEN: "a-b-c-d" } }),
  ).rejects.toThrow("sh has printed");
  await run("cat", [cert]);
});

it("fails the test for a log file, even one that was rotated", async () => {
  const path = join(await scene.directory(), "access.log");
  const value = secret("a secret of the log");
  const stage = new Stage();
  const flag = `--proxy.access-log.path=${path}`;
  const program = startProgram(stage, "talker", process.execPath, [...PRINT, "--", flag]);
  await program.exited;
  writeFileSync(`${path}.1`, `fine\n{"x":"${value}"}\n`);
  await expect(stage.clear()).rejects.toThrow("talker (access.log.1) has printed the secret");
});

it("costs little, however long the output is", () => {
  for (let i = 0; i < 2_000; i++) token("HS256", "some key", { jti: `${i}` });
  const line = `{"level":"info","msg":"request","duration-ms":1.5,"path":"${"/item".repeat(100)}"}`;
  const began = process.cpuUsage();
  for (let i = 0; i < 10_000; i++) expect(findSecret(line)).toBeUndefined();
  const { user } = process.cpuUsage(began);
  console.info(`${Math.round(user / 1_000)} ms for ${(line.length * 10_000) / 1e6} MB`);
});
