// The `piko` command. Handles signals from the first moment on, then loads the rest.

import { handleEarlySignal } from "./cli/early-signal.js";

handleEarlySignal();
const { main } = await import("./cli/main.js");
await main();
