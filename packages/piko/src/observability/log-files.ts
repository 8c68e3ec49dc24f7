// Files that logs are written to instead of standard error. Each is opened once, however many logs go to it, and opened again on
// SIGHUP, after a tool such as logrotate has moved it away.

import { openSync } from "node:fs";
import { FileDevice } from "./file-device.js";
import { LogOutput } from "./log-output.js";

/** Lines show who requests what: only the file's owner and group may read them. */
const MODE = 0o640;

export class LogFiles {
  readonly #outputs = new Map<string, { readonly device: FileDevice; readonly output: LogOutput }>();

  /** The output for a file, which is created if it doesn't exist. Throws if it can't be opened. */
  open(path: string): LogOutput {
    const known = this.#outputs.get(path);
    if (known !== undefined) return known.output;
    const device = new FileDevice(openSync(path, "a", MODE));
    const output = new LogOutput(device);
    this.#outputs.set(path, { device, output });
    return output;
  }

  /**
   * Opens all files again, and returns their paths. If one can't be opened, its old descriptor stays in use and `onFailure` is
   * called.
   */
  reopen(onFailure: (path: string, error: unknown) => void): readonly string[] {
    const reopened: string[] = [];
    for (const [path, { device }] of this.#outputs) {
      try {
        device.replace(openSync(path, "a", MODE));
        reopened.push(path);
      } catch (error) {
        onFailure(path, error);
      }
    }
    return reopened;
  }

  /** Writes queued lines synchronously; for a process that is about to end. */
  flushSync(): void {
    for (const { output } of this.#outputs.values()) output.flushSync();
  }
}
