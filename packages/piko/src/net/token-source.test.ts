import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readToken } from "@piko/client/internal";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tokenSource } from "./token-source.js";

let folder = "";
let tokenFile = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "piko-token-"));
  tokenFile = join(folder, "token");
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("a token's source", () => {
  it("is its text, or undefined", () => {
    expect(tokenSource({ token: "t", tokenFile: "" })).toBe("t");
    expect(tokenSource({ token: "", tokenFile: "" })).toBeUndefined();
  });

  it("reads its file each time, without white space around the token", async () => {
    const source = tokenSource({ token: "", tokenFile });
    writeFileSync(tokenFile, "one\n");
    expect(await readToken(source)).toBe("one");
    writeFileSync(tokenFile, " two\r\n\n");
    expect(await readToken(source)).toBe("two");
  });

  it.each([
    ["", "is empty"],
    ["\n", "is empty"],
    ["secret words", "holds more than a token"],
    ["secret\nlines", "holds more than a token"],
    ["x".repeat(65_537), "is larger than 65536 bytes"],
  ])("reports what is wrong with a file, but not its content", async (text, problem) => {
    writeFileSync(tokenFile, text);
    const message = `token: ${tokenFile} ${problem}`;
    await expect(readToken(tokenSource({ token: "", tokenFile }))).rejects.toMatchObject({
      code: "PIKO_CLIENT_TOKEN",
      retryable: true,
      message,
    });
  });

  it("reports that a file can't be read", async () => {
    const missing = join(folder, "missing");
    const message = `token: can't read ${missing} (ENOENT)`;
    await expect(readToken(tokenSource({ token: "", tokenFile: missing }))).rejects.toThrow(message);
  });

  it("keeps a token from a pipe, which can't be read again", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    const source = tokenSource({ token: "", tokenFile: pipe });
    const [read] = await Promise.all([
      readToken(source),
      import("node:fs/promises").then((fs) => fs.writeFile(pipe, "p\n")),
    ]);
    expect(read).toBe("p");
    expect(await readToken(source)).toBe("p");
  });
});
