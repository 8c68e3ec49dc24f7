// The Go peers of tests/interop, built once for each version of their source: an agent, forwarder or server (peer), or a node
// that only gossips (gossip-peer).

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Program, startProgram } from "./program.js";
import type { Stage } from "./stage.js";
import { haveTools, run } from "./tools.js";

const CACHE = fileURLToPath(new URL("../interop/.cache/", import.meta.url));

/** Whether the Go peer can be built here. */
export const haveGo: boolean = haveTools("go");

/** Builds a peer unless this exact source has been built already; returns its path. */
export async function buildGoPeer(name: "peer" | "gossip-peer" | "grpc-peer" = "peer"): Promise<string> {
  const source = fileURLToPath(new URL(`../interop/${name}/`, import.meta.url));
  const hash = createHash("sha256");
  for (const file of readdirSync(source).sort()) hash.update(file).update(readFileSync(join(source, file)));
  const path = join(CACHE, `${name}-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(path)) return path;
  await mkdir(CACHE, { recursive: true });
  // Another test file may build at the same time: each builds its own file, and moves it into place atomically.
  const own = `${path}.${process.pid}`;
  const built = await run("go", ["build", "-o", own, "."], { cwd: source, ms: 600_000 });
  if (built.code !== 0) throw new Error(`go build: ${built.stderr}`);
  renameSync(own, path);
  return path;
}

/** A Go node that only gossips: it has no other ports. Accepts commands by {@link Program.write}. */
export async function startGoNode(stage: Stage, id: string): Promise<{ program: Program; gossip: string }> {
  const path = await buildGoPeer("gossip-peer");
  const program = startProgram(stage, `go node ${id}`, path, ["--id", id], { input: true });
  const { fields } = await program.waitFor("listening");
  return { program, gossip: String(fields["addr"]) };
}

/** A Go server. Addresses are `127.0.0.1:port`. */
export interface GoServer {
  readonly program: Program;
  readonly proxy: string;
  readonly upstream: string;
  readonly control: string;
  /** Ends the endpoint's tunnels in one of the ways listed in control.go. */
  end(endpoint: string, how: string): Promise<void>;
  /** The open tunnels, with the header fields of their upgrade requests. */
  tunnels(): Promise<readonly { endpoint: string; headers: Record<string, string[]>; streams: number }[]>;
  /** Number of tunnels for each endpoint that the node announces to its cluster, as the Go program counts them. */
  listeners(): Promise<Readonly<Record<string, number>>>;
}

/** Starts the Go peer as a server. */
export async function startGoServer(stage: Stage, flags: readonly string[] = []): Promise<GoServer> {
  const program = startProgram(stage, "go server", await buildGoPeer(), ["server", ...flags], {
    stopCode: 0,
    // It prints the header fields of its clients, so that tests can check them.
    showsSecrets: true,
  });
  const { fields } = await program.waitFor("server started");
  const control = String(fields["control"]);
  return {
    program,
    proxy: String(fields["proxy"]),
    upstream: String(fields["upstream"]),
    control,
    end: async (endpoint, how) => {
      const answer = await fetch(`http://${control}/end?endpoint=${endpoint}&how=${how}`, { method: "POST" });
      if (!answer.ok) throw new Error(`${how}: ${await answer.text()}`);
    },
    tunnels: async () => {
      const answer = await fetch(`http://${control}/tunnels`);
      return (await answer.json()) as Awaited<ReturnType<GoServer["tunnels"]>>;
    },
    listeners: async () => {
      const answer = await fetch(`http://${control}/listeners`);
      return (await answer.json()) as Awaited<ReturnType<GoServer["listeners"]>>;
    },
  };
}

/** An address as a URL for the peer; an address that already has a scheme stays as it is. */
function urlOf(address: string): string {
  return address.includes("://") ? address : `http://${address}`;
}

/** Starts the Go peer as an agent; returns when its tunnel is open. */
export async function startGoAgent(
  stage: Stage,
  upstream: string,
  endpoint: string,
  target: string,
  flags: readonly string[] = [],
): Promise<Program> {
  const args = ["agent", "--url", urlOf(upstream), "--endpoint", endpoint, "--target", target, ...flags];
  const program = startProgram(stage, `go agent ${endpoint}`, await buildGoPeer(), args);
  await program.waitFor("connected");
  return program;
}

/** Starts the Go peer as a forwarder; returns its local address. */
export async function startGoForward(
  stage: Stage,
  proxy: string,
  endpoint: string,
  flags: readonly string[] = [],
): Promise<string> {
  const args = ["forward", "--url", urlOf(proxy), "--endpoint", endpoint, ...flags];
  const program = startProgram(stage, `go forward ${endpoint}`, await buildGoPeer(), args);
  const { fields } = await program.waitFor("listening");
  return String(fields["addr"]);
}

/** Sends random bytes through a TCP endpoint with the Go dialer; throws unless the same bytes come back. */
export async function goEchoCheck(
  proxy: string,
  endpoint: string,
  bytes: number,
  flags: readonly string[] = [],
): Promise<void> {
  const args = ["dial", "--url", urlOf(proxy), "--endpoint", endpoint, "--send-bytes", `${bytes}`, ...flags];
  const { code, stdout, stderr } = await run(await buildGoPeer(), args, { ms: 60_000 });
  if (code !== 0) throw new Error(`echo check: ${stdout}${stderr}`);
}
