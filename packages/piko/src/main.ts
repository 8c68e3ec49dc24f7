// The `piko` command.

import { main } from "./cli/main.js";

await main();
