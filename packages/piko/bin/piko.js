#!/usr/bin/env node
import { obeyEarlySignal } from "../dist/cli/early-signal.js";
import { refuseOldNode } from "../dist/cli/node-version.js";

refuseOldNode();
obeyEarlySignal();
await import("../dist/main.js");
