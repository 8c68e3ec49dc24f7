#!/usr/bin/env node
import { obeyEarlySignal } from "../dist/cli/early-signal.js";

obeyEarlySignal();
await import("../dist/main.js");
