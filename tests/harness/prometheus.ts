// A real Prometheus server, and the results of its queries.

import { setTimeout as delay } from "node:timers/promises";
import type { LabHost } from "./network-lab.js";
import { type Program, startProgram } from "./program.js";
import type { Stage } from "./stage.js";

/** One series with its current value. */
export interface Found {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

export class Prometheus {
  readonly program: Program;
  readonly #address: string;

  private constructor(program: Program, address: string) {
    this.program = program;
    this.#address = address;
  }

  /** Starts Prometheus on a host, on its default port; returns when it answers queries. */
  static async start(stage: Stage, host: LabHost, args: readonly string[]): Promise<Prometheus> {
    const program = startProgram(stage, "prometheus", ...host.command("prometheus", args));
    await program.waitForLine(({ text }) => text.includes("ready to receive web requests"), "readiness");
    return new Prometheus(program, `${host.main}:9090`);
  }

  /** The current result of a query. */
  async query(expr: string): Promise<readonly Found[]> {
    const url = `http://${this.#address}/api/v1/query?query=${encodeURIComponent(expr)}`;
    const answer = (await (await fetch(url)).json()) as {
      readonly error?: string;
      readonly data?: { readonly result: readonly Found[] };
    };
    if (answer.data === undefined) throw new Error(`${expr}: ${answer.error}`);
    return answer.data.result;
  }

  /** Names of the alerts that are firing, each once, sorted. */
  async firing(): Promise<readonly string[]> {
    const found = await this.query('count by (alertname) (ALERTS{alertstate="firing"})');
    return found.map(({ metric }) => metric["alertname"] ?? "").sort();
  }

  /** Repeats an action until an alert fires, for at most `ms`. */
  async untilFiring(alert: string, cause: () => Promise<unknown>, ms = 30_000): Promise<void> {
    const until = performance.now() + ms;
    while (!(await this.firing()).includes(alert)) {
      if (performance.now() > until) throw new Error(`${alert} doesn't fire within ${ms} ms`);
      await cause();
      await delay(20);
    }
  }
}
