// Prepares a fresh clone: installs its packages and builds it. Called by `npm run demo` and `npm test`; if everything is in
// place, it only makes a quick check. Imports nothing that must be installed first.

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import bundle from "./bundle.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const OLDEST_NODE = [20, 19];
/** Steps that take less than this print nothing. */
const QUICK_MS = 2_000;

/** Installs packages if they don't match package-lock.json, and builds. Rejects with a readable message. */
export async function setUp() {
  checkNode();
  if (!isInstalled()) await step("installing packages (npm ci)", npm(["ci", "--ignore-scripts"]));
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  await step("building (tsc -b)", { file: process.execPath, args: [tsc, "-b"] }, { quietIfQuick: true });
  await bundle();
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  throw new Error(`Node.js ${OLDEST_NODE.join(".")} or later is needed, this is ${process.versions.node}`);
}

/** Whether npm's own list of installed packages matches the lock file. */
function isInstalled() {
  const hidden = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(hidden)) return false;
  const wanted = readPackages(join(root, "package-lock.json"));
  const installed = readPackages(hidden);
  return Object.entries(wanted).every(([path, { version, link, optional }]) => {
    if (path === "") return true;
    const found = installed[path];
    // Optional packages are often for other platforms.
    return found === undefined ? optional === true : found.version === version && found.link === link;
  });
}

function readPackages(file) {
  return JSON.parse(readFileSync(file, "utf8")).packages;
}

/** npm as a command: the one that runs this script, or the one in the path. */
function npm(args) {
  const cli = process.env["npm_execpath"];
  if (cli?.endsWith(".js")) return { file: process.execPath, args: [cli, ...args] };
  return { file: "npm", args, shell: process.platform === "win32" };
}

/** Runs a command and prints a line about it. Shows the command's output only if it fails. */
async function step(title, { file, args, shell = false }, { quietIfQuick = false } = {}) {
  const startMs = Date.now();
  let announced = false;
  const announce = () => {
    announced = true;
    process.stdout.write(`${title} ... `);
  };
  const timer = setTimeout(announce, quietIfQuick ? QUICK_MS : 0);
  const { code, output } = await run(file, args, shell);
  clearTimeout(timer);
  if (announced) {
    const seconds = ((Date.now() - startMs) / 1_000).toFixed(1);
    console.log(code === 0 ? `done in ${seconds} s` : "failed");
  }
  if (code !== 0) throw new Error(`${title} failed:\n${output.trimEnd()}`);
}

function run(file, args, shell) {
  return new Promise((resolve) => {
    const child = spawn(file, args, { cwd: root, shell, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const keep = (chunk) => {
      output += chunk;
    };
    child.stdout.setEncoding("utf8").on("data", keep);
    child.stderr.setEncoding("utf8").on("data", keep);
    child.on("error", (error) => resolve({ code: 1, output: `${file}: ${error.message}` }));
    child.on("close", (code) => resolve({ code, output }));
  });
}
