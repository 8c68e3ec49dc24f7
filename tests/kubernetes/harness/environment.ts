// What the tests are told of the cluster that they run on, by environment variables; tests/kubernetes/README.md lists them.

/** Words that every command which talks to the cluster begins with, such as `docker exec node`; none by default. */
export const CLUSTER_RUN: readonly string[] = words("PIKO_CLUSTER_RUN");

/** The image to run; empty for none. */
export const IMAGE: string = process.env["PIKO_IMAGE"] ?? "";

/** Shell command that ends the machine `$NODE` without a word; empty for none. */
export const KILL_NODE: string = process.env["PIKO_KILL_NODE"] ?? "";

/** Shell command that runs its arguments as root in the network of the machine `$NODE`; empty for none. */
export const NODE_SHELL: string = process.env["PIKO_NODE_SHELL"] ?? "";

/** Whether there is a cluster; if not, says so, once for each file of tests. */
export function haveCluster(): boolean {
  if (IMAGE !== "") return true;
  process.stderr.write("skipped: needs a cluster and PIKO_IMAGE, see tests/kubernetes/README.md\n");
  return false;
}

/** Whether the variable is there that a test needs besides; if not, says so. */
export function haveVariable(name: "PIKO_KILL_NODE" | "PIKO_NODE_SHELL"): boolean {
  if ((process.env[name] ?? "") !== "") return true;
  process.stderr.write(`skipped: needs ${name}, see tests/kubernetes/README.md\n`);
  return false;
}

function words(name: string): readonly string[] {
  return (process.env[name] ?? "").split(" ").filter((word) => word !== "");
}
