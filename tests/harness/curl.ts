// curl, as a user runs it, with a proxy address and an endpoint.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Stage } from "./stage.js";
import { run, type ToolResult } from "./tools.js";

export interface CurlResult extends ToolResult {
  readonly status: number;
  /** Every head that was received, including those of interim responses. */
  readonly heads: string;
}

export interface CurlOptions {
  readonly args?: readonly string[];
  readonly ms?: number;
  /** More paths for the same command. */
  readonly more?: readonly string[];
}

/** Runs `curl` for `path` of an endpoint (of none if it is empty); stdout is the body. */
export async function curl(
  proxy: string,
  endpoint: string,
  path: string,
  options: CurlOptions = {},
): Promise<CurlResult> {
  const stage = new Stage();
  try {
    // A file, because curl can't open the socket that Node gives it as stderr by name.
    const heads = join(await stage.directory(), "heads");
    const report = [
      "--silent",
      "--show-error",
      "--dump-header",
      heads,
      "--write-out",
      "%{stderr}status=%{http_code}\n",
    ];
    const routing = endpoint === "" ? [] : ["--header", `x-piko-endpoint: ${endpoint}`];
    const urls = [path, ...(options.more ?? [])].map((each) => `http://${proxy}${each}`);
    const args = [...report, ...routing, ...(options.args ?? []), ...urls];
    // Its output contains the service's answer.
    const result = await run("curl", args, { ms: options.ms ?? 150_000, showsSecrets: true });
    const status = Number(/status=(\d+)\n$/.exec(result.stderr)?.[1] ?? 0);
    return { ...result, status, heads: await readFile(heads, "utf8").catch(() => "") };
  } finally {
    await stage.clear();
  }
}
