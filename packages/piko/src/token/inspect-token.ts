// `piko token inspect`: explains a token, and checks it against a server's configuration.

import { visibleText } from "../base/visible-text.js";
import { describeToken } from "./describe-token.js";
import { judgeToken, type JudgeOptions } from "./judge-token.js";
import { TokenToolError } from "./token-tool-error.js";

export interface InspectOptions {
  /** The token, perhaps with white space around it or `Bearer` before it. */
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly nowMs: number;
  /** Undefined if there is no configuration to check against. */
  readonly judge: JudgeOptions | undefined;
}

/** Lines that explain a token. Rejects with a TokenToolError if the text isn't a token or a key can't be read. */
export async function inspectToken({ judge, nowMs, text }: InspectOptions): Promise<readonly string[]> {
  const token = text.trim().replace(/^Bearer\s+/i, "");
  if (token === "") throw new TokenToolError("token: is empty");
  const described = describeToken(token, nowMs);
  if (described === undefined) {
    throw new TokenToolError(
      "token: not a token, which has the form header.claims.signature, each in base64url",
    );
  }
  if (judge === undefined) {
    return [
      ...described,
      "",
      "not verified: set --config.path to a server's configuration to verify it with the server's keys",
    ];
  }
  const verdicts = await judgeToken(token, judge);
  return [...described, "", ...verdicts.map((verdict) => visibleText(`${verdict.port}: ${verdict.text}`))];
}
