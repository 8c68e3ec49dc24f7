// The files of a certificate and its key, in a folder for each test, which may replace them.

import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { KeyPair } from "@piko/testkit";
import { afterEach, beforeEach } from "vitest";

export class PairFiles {
  directory = "";

  /** To be created once per test file; each test begins with `first`. */
  constructor(first: KeyPair) {
    beforeEach(() => {
      this.directory = mkdtempSync(join(tmpdir(), "piko-pair-"));
      this.put(first);
    });
    afterEach(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  get cert(): string {
    return join(this.directory, "tls.crt");
  }

  get key(): string {
    return join(this.directory, "tls.key");
  }

  put(pair: KeyPair): void {
    copyFileSync(pair.cert, this.cert);
    copyFileSync(pair.key, this.key);
  }
}
