// A logger whose lines a test can wait for.

import { createLogger, type Logger } from "../src/observability/logger.js";
import { LogOutput } from "../src/observability/log-output.js";

/** A line of the JSON log. */
export type LogLine = Readonly<Record<string, unknown>>;

export class RecordedLog {
  readonly logger: Logger;
  readonly lines: string[] = [];
  #partial = "";
  #waiters: (() => void)[] = [];

  constructor(format: "json" | "pretty" = "json") {
    const take = (bytes: Buffer, offset: number): number => {
      const text = this.#partial + bytes.toString("utf8", offset);
      const lines = text.split("\n");
      this.#partial = lines.pop() ?? "";
      this.lines.push(...lines);
      for (const wake of this.#waiters.splice(0)) wake();
      return bytes.length - offset;
    };
    const output = new LogOutput({
      write: (bytes, offset, done) => done(null, take(bytes, offset)),
      writeSync: take,
    });
    this.logger = createLogger({ config: { level: "info", subsystems: [], format }, output });
  }

  /** Lines with this message. */
  find(message: string): LogLine[] {
    return this.lines.map((line) => JSON.parse(line) as LogLine).filter((line) => line["msg"] === message);
  }

  /** Resolves with line number `index` with this message. */
  async line(message: string, index = 0): Promise<LogLine> {
    for (;;) {
      const line = this.find(message)[index];
      if (line !== undefined) return line;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }
}
