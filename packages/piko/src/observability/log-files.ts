// Files that logs are written to besides standard error. Each is opened once, however many logs go to it, and again when
// somebody has moved it away and says so (SIGHUP), as logrotate does.

import { openSync } from "node:fs";
import { FileDevice } from "./file-device.js";
import { LogOutput } from "./log-output.js";

/** Lines tell who asks for what: its owner and group may read them, nobody else. */
const MODE = 0o640;

export class LogFiles {
  readonly #outputs = new Map<string, { readonly device: FileDevice; readonly output: LogOutput }>();

  /** The way to a file, which is made if it isn't there. Throws if it can't be opened. */
  open(path: string): LogOutput {
    const known = this.#outputs.get(path);
    if (known !== undefined) return known.output;
    const device = new FileDevice(openSync(path, "a", MODE));
    const output = new LogOutput(device);
    this.#outputs.set(path, { device, output });
    return output;
  }

  /** Opens all files anew. One that can't be goes on as it was, and `onFailure` is told why. Returns the paths of the others. */
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

  /** Writes what waits; for a process that is about to end. */
  flushSync(): void {
    for (const { output } of this.#outputs.values()) output.flushSync();
  }
}
