// The token that a program presents to a server: as text, or in a file that is read again for each connection.

import type { Field, Report } from "./declaration.js";
import { file, secret } from "./fields.js";

/** At most one of the two is set. */
export interface ClientTokenConfig {
  readonly token: string;
  /** Path; empty if there is none. */
  readonly tokenFile: string;
}

/**
 * Declares the two settings. Either one replaces both of a lower level: flags take precedence, then the environment, then the
 * file.
 */
export function tokenFields(description: string): { token: Field<string>; tokenFile: Field<string> } {
  return {
    token: {
      ...secret(
        `${description} Other users of the machine may be able to see command lines: a file or the environment is safer.`,
      ),
      insteadOf: "tokenFile",
    },
    tokenFile: {
      ...file("File with the token, instead of the token itself. Read again for each connection."),
      insteadOf: "token",
    },
  };
}

/** The check for a section that has both. */
export function checkToken({ token, tokenFile }: ClientTokenConfig, report: Report): void {
  if (token !== "" && tokenFile !== "") report(["tokenFile"], "can't be set together with token");
}
