// Two distant hosts: every packet between them is delayed, and names can have addresses that belong to no host.

import { mkdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { PrivateHost } from "./private-hosts.js";
import { startProgram } from "./program.js";
import type { Stage } from "./stage.js";
import { haveTools, run } from "./tools.js";

const NEAR = "10.239.7.1";
const FAR = "10.239.7.2";
/** An address in the far host's network that no host has. */
const DEAD = "10.239.7.200";

let created = 0;

export interface SlowLink {
  readonly near: PrivateHost;
  readonly far: PrivateHost;
}

/**
 * Creates the two hosts. If the test lacks the privileges, the result is undefined and a message is written to stderr. `name`
 * resolves to `far`, and to a last address that doesn't work. All other names are looked up at a name server that doesn't
 * exist.
 */
export async function createSlowLink(
  stage: Stage,
  name: string,
  roundTripMs: number,
): Promise<SlowLink | undefined> {
  if (!haveTools("ip", "python3")) return undefined;
  const id = `${process.pid % 100_000}-${created++}`;
  const namespaces = [`piko-near-${id}`, `piko-far-${id}`] as const;
  for (const namespace of namespaces) {
    const added = await run("ip", ["netns", "add", namespace]);
    if (added.code !== 0) {
      process.stderr.write(`skipped: no network namespace: ${added.stderr}`);
      return undefined;
    }
    const etc = `/etc/netns/${namespace}`;
    stage.defer(async () => {
      await run("ip", ["netns", "delete", namespace]);
      await rm(etc, { recursive: true, force: true });
    });
    await mkdir(etc, { recursive: true });
    // A lookup takes a minute: waiting for its end exceeds every test's patience.
    await writeFile(`${etc}/resolv.conf`, `nameserver ${DEAD}\noptions timeout:30 attempts:2\n`);
    await writeFile(`${etc}/hosts`, `127.0.0.1 localhost\n${FAR} ${name}\n${DEAD} ${name}\n`);
  }
  const script = fileURLToPath(new URL("slow-link.py", import.meta.url));
  const link = startProgram(stage, "link", "python3", [script, ...namespaces, String(roundTripMs / 2)]);
  await link.waitFor("ready");
  const hosts = namespaces.map((namespace, i) => new PrivateHost(namespace, i === 0 ? NEAR : FAR));
  const [near, far] = hosts as [PrivateHost, PrivateHost];
  for (const host of [near, far]) {
    const up = `ip link set lo up && ip address add ${host.address}/24 dev slow0 && ip link set slow0 up`;
    const { code, stderr } = await host.run(up);
    if (code !== 0) throw new Error(stderr);
  }
  return { near, far };
}
