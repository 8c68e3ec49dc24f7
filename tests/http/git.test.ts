// Git over HTTP through the tunnel: clone and push, with large and small bodies, with a length and chunked.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { SeededRandom } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { startGitService } from "../harness/git-service.js";
import { startTunnel } from "../harness/piko.js";
import { perTest } from "../harness/stage.js";
import { haveTools, run, type ToolResult } from "../harness/tools.js";

const scene = perTest();

const identity = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_AUTHOR_NAME: "tester",
  GIT_AUTHOR_EMAIL: "tester@example.com",
  GIT_COMMITTER_NAME: "tester",
  GIT_COMMITTER_EMAIL: "tester@example.com",
  GIT_TERMINAL_PROMPT: "0",
};

async function git(cwd: string, ...args: readonly string[]): Promise<ToolResult> {
  const result = await run("git", args, { cwd, env: identity });
  if (result.code !== 0) throw new Error(`git ${args.join(" ")}: ${result.stderr}`);
  return result;
}

describe.runIf(haveTools("git"))("git", () => {
  it("clones, pushes 8 MB, and clones the same again", async () => {
    const root = await scene.directory();
    const work = await scene.directory();
    const random = new SeededRandom(1);
    await git(root, "init", "--quiet", "--bare", "--initial-branch=main", "repository.git");
    await git(join(root, "repository.git"), "config", "http.receivepack", "true");
    await git(work, "init", "--quiet", "--initial-branch=main", "source");
    const source = join(work, "source");
    for (let i = 0; i < 20; i++) {
      await writeFile(join(source, `file-${i}`), random.bytes(100_000));
      await git(source, "add", ".");
      await git(source, "commit", "--quiet", "--message", `Add file ${i}`);
    }
    await git(source, "push", "--quiet", join(root, "repository.git"), "main");

    const { server } = await startTunnel(scene, await startGitService(scene, root));
    const endpoint = ["-c", "http.extraHeader=x-piko-endpoint: web"];
    const url = `http://${server.proxy}/repository.git`;
    await git(work, ...endpoint, "clone", "--quiet", url, "first");
    const first = join(work, "first");
    await git(first, "fsck", "--strict");
    await writeFile(join(first, "large"), random.bytes(8_000_000));
    await git(first, "add", ".");
    await git(first, "commit", "--quiet", "--message", "Add a large file");
    await git(first, ...endpoint, "push", "--quiet", "origin", "main");

    await git(work, ...endpoint, "clone", "--quiet", url, "second");
    const revision = async (directory: string): Promise<string> =>
      (await git(join(work, directory), "rev-parse", "HEAD")).stdout;
    expect(await revision("second")).toBe(await revision("first"));
    await git(join(work, "second"), "fsck", "--strict");
  });
});
