// Runs the README's examples unchanged, except that they connect to a test server instead of localhost.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as http from "node:http";
import type { IncomingMessage } from "node:http";
import { Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { defer, piko, tearDown } from "../test/per-test.js";
import * as client from "./index.js";

afterEach(tearDown);

const README = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const EXAMPLES = [...README.matchAll(/```js\n([^]*?)```/g)].map((match) => match[1] ?? "");
const MODULES: Readonly<Record<string, object>> = { "@piko/client": client, "node:http": http };

/** What an example printed, what it wrote to stdout, and the listener that it left open. */
interface Run {
  readonly url: string;
  readonly printed: string[];
  readonly stdout: Capture;
  readonly listener: client.Listener;
}

async function run(example: string): Promise<Run> {
  const server = await piko();
  const code = example
    .replaceAll(/http:\/\/localhost:800[01]/g, server.url)
    .replaceAll(/^import (\{[^}]+\}) from ("[^"]+");$/gm, "const $1 = modules[$2];");
  const printed: string[] = [];
  const stdout = new Capture();
  const AsyncFunction = (async () => {}).constructor as new (
    ...args: string[]
  ) => (...args: unknown[]) => unknown;
  const program = new AsyncFunction("modules", "console", "process", `${code}\nreturn listener;`);
  const log = (...words: unknown[]): number => printed.push(words.join(" "));
  const listener = (await program(MODULES, { log }, { stdout })) as client.Listener;
  defer(() => listener.close({ graceMs: 0 }));
  return { url: server.url, printed, stdout, listener };
}

class Capture extends Writable {
  readonly written: string[] = [];

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.written.push(String(chunk));
    callback();
  }
}

/** The endpoint's response to a request. */
async function ask(url: string, path: string, body?: string): Promise<string> {
  const agent = new client.EndpointAgent("my-endpoint", { url });
  const request = http.request({ agent, host: "x", path, method: body === undefined ? "GET" : "POST" });
  request.end(body);
  const [response] = (await once(request, "response")) as [IncomingMessage];
  return await text(response);
}

describe("README", () => {
  it("has the examples that are tested here", () => {
    expect(EXAMPLES).toHaveLength(6);
  });

  it("serves a request listener", async () => {
    const { url } = await run(EXAMPLES[0] ?? "");
    expect(await ask(url, "/there")).toBe("hello from /there\n");
  });

  it("serves a fetch handler", async () => {
    const { url } = await run(EXAMPLES[1] ?? "");
    expect(JSON.parse(await ask(url, "/p", "b"))).toEqual({ path: "/p", body: "b" });
  });

  it("attaches a server to a listener", async () => {
    const { url } = await run(EXAMPLES[2] ?? "");
    expect(await ask(url, "/")).toBe("served\n");
  });

  it("echoes over a dialled connection", async () => {
    const { printed } = await run(EXAMPLES[3] ?? "");
    expect(printed).toEqual(["echoed: hello"]);
  });

  it("reaches an endpoint with an http.Agent", async () => {
    const { stdout } = await run(EXAMPLES[4] ?? "");
    await once(stdout, "finish");
    expect(stdout.written.join("")).toBe("hello");
  });

  it("reaches an endpoint with fetch", async () => {
    const { printed } = await run(EXAMPLES[5] ?? "");
    expect(printed).toEqual(["hello"]);
  });

  it("lists every error code with its meaning", () => {
    const rows = [...README.matchAll(/^\| (PIKO_\w+) +\| (.+?) +\|$/gm)].map(([, code, when]) => [
      code,
      when,
    ]);
    expect(Object.fromEntries(rows)).toEqual(client.CLIENT_ERRORS);
  });
});
