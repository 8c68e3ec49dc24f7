// Piko for TCP: `piko forward tcp`, `piko server` and `piko agent tcp`, three processes on one core.
// @ts-check

import { SUBJECT_CORE } from "../workbench.mjs";
import { findLogLine, piko, pikoCommand, startServer } from "./piko.mjs";

const ENDPOINT = "echo";

/** @type {import("./subject.mjs").Subject} */
export const pikoTcp = {
  name: "piko-tcp",
  title: "piko, forward + server + agent",
  compiles: true,
  takes: (kind) => kind === "tcp",
  findObstacle: (options) => piko.findObstacle(options),
  async start(context) {
    const { bench, echoPort = 0, options } = context;
    const server = await startServer(context, []);
    const common = { core: SUBJECT_CORE, stopSignal: /** @type {const} */ ("SIGINT") };
    const agent = bench.start({
      ...pikoCommand(
        options,
        [],
        [
          ...["agent", "tcp", ENDPOINT, `127.0.0.1:${echoPort}`],
          ...["--connect.url", `http://${server.upstream}`, "--log.format", "json"],
        ],
      ),
      ...common,
      name: "piko-agent",
    });
    await bench.waitFor("piko agent", [agent, server.program], () =>
      findLogLine(agent.stderrFile, "connected"),
    );
    const forward = bench.start({
      ...pikoCommand(
        options,
        [],
        [
          ...["forward", "tcp", "127.0.0.1:0", ENDPOINT],
          ...["--connect.url", `http://${server.proxy}`, "--log.format", "json"],
        ],
      ),
      ...common,
      name: "piko-forward",
    });
    const line = await bench.waitFor("piko forward", [forward], () =>
      findLogLine(forward.stderrFile, "listening"),
    );
    return {
      origin: `http://${String(line["addr"])}`,
      parts: [
        { role: "forward", program: forward },
        { role: "server", program: server.program },
        { role: "agent", program: agent },
      ],
    };
  },
};
