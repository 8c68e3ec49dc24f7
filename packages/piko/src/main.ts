// The `piko` command. Handles signals from the first moment on, then loads the rest.

import { obeyEarlySignal } from "./cli/early-signal.js";

obeyEarlySignal();
const { main } = await import("./cli/main.js");
await main();
