// The environment variables that describe the cluster under test; tests/kubernetes/README.md lists them.

/** Words to put before every command that talks to the cluster, such as `docker exec node`; none by default. */
export const CLUSTER_RUN: readonly string[] = words("PIKO_CLUSTER_RUN");

/** The image to run; empty if there is none. */
export const IMAGE: string = process.env["PIKO_IMAGE"] ?? "";

/** Shell command that kills the machine `$NODE` without notice; empty if there is none. */
export const KILL_NODE: string = process.env["PIKO_KILL_NODE"] ?? "";

/** Shell command that runs its arguments as root in the network of the machine `$NODE`; empty if there is none. */
export const NODE_SHELL: string = process.env["PIKO_NODE_SHELL"] ?? "";

/** Whether there is a cluster; if not, prints a message once per test file. */
export function haveCluster(): boolean {
  if (IMAGE !== "") return true;
  process.stderr.write("skipped: needs a cluster and PIKO_IMAGE, see tests/kubernetes/README.md\n");
  return false;
}

/** Whether a variable that a test needs is set; if not, prints a message. */
export function haveVariable(name: "PIKO_KILL_NODE" | "PIKO_NODE_SHELL"): boolean {
  if ((process.env[name] ?? "") !== "") return true;
  process.stderr.write(`skipped: needs ${name}, see tests/kubernetes/README.md\n`);
  return false;
}

function words(name: string): readonly string[] {
  return (process.env[name] ?? "").split(" ").filter((word) => word !== "");
}
