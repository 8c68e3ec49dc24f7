// The demo's key and the tokens made with it, as by `piko key create` and `piko token create`.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Program } from "./program.mjs";

export class DemoTokens {
  /** Path of the file with the secret that the nodes share. */
  secret;
  #folder;

  constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), "piko-demo-"));
    this.secret = join(this.#folder, "secret");
  }

  /** Creates the secret. */
  async create() {
    // The build has finished by now.
    const { runKeyCreate } = await import("../../packages/piko/dist/token/create-key.js");
    runKeyCreate({ algorithm: "HS256", out: this.secret });
  }

  /** Creates a token for one endpoint; resolves to the path of its file. */
  async add(endpoint) {
    const { createToken } = await import("../../packages/piko/dist/token/create-token.js");
    const { TOKEN_CREATE } = await import("../../packages/piko/dist/config/token.js");
    const config = TOKEN_CREATE.schema.parse({ keyFile: this.secret, endpoint: [endpoint] });
    const path = join(this.#folder, `${endpoint}.token`);
    const token = await createToken({ config, key: "", nowMs: Date.now(), warn: console.error });
    writeFileSync(path, `${token}\n`, { mode: 0o600 });
    return path;
  }

  close() {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Runs an agent that the server must refuse; resolves to the error that it got. */
export async function refusal(args) {
  const program = new Program("refused agent", args, { onLine: () => {}, onEnd: () => {} });
  const how = await program.ended;
  const reason = program.lines.map((line) => /\b(401: [^"]+)/.exec(line)?.[1]).find(Boolean);
  if (how !== 1 || reason === undefined) throw program.failure("was not refused");
  return reason;
}
