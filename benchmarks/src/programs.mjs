// Finds the programs that a run needs and reports what is missing. Never installs anything.
// @ts-check

import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Debian keeps daemons here, which an ordinary user's PATH often lacks. */
const SYSTEM_DIRECTORIES = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/**
 * @param {string} name
 * @returns {string | undefined} the program's path
 */
export function findProgram(name) {
  const directories = [...(process.env["PATH"] ?? "").split(delimiter), ...SYSTEM_DIRECTORIES];
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

/**
 * @param {string} name
 * @param {string} [debianPackage] if the package has another name
 * @returns {string} the program's path
 */
export function requireProgram(name, debianPackage = name) {
  const found = findProgram(name);
  if (found === undefined) {
    throw new Error(
      `${name} is not installed: the benchmark needs it (Debian, Ubuntu: apt-get install ${debianPackage})`,
    );
  }
  return found;
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
