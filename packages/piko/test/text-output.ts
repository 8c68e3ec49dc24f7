// A log output whose text a test reads once it has drained.

import { LogOutput } from "../src/observability/log-output.js";

export function textOutput(): { readonly output: LogOutput; readonly text: () => string } {
  let text = "";
  const output = new LogOutput({
    write: (bytes, offset, done) => {
      text += bytes.toString("utf8", offset);
      done(null, bytes.length - offset);
    },
    writeSync: () => 0,
  });
  return { output, text: () => text };
}
