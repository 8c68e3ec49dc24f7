#!/usr/bin/env node
import { refuseOldNode } from "../dist/bundle/node-version.js";

refuseOldNode();
await import("../dist/bundle/main.js");
