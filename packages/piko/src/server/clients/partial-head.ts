// Refuses an incomplete request head as soon as it is clear that it will be refused.

import { HTTP_ERRORS, type HttpError } from "../../http/errors.js";
import { SMALL_HEAD_BYTES } from "../../net/byte-budget.js";
import type { ByteStore } from "../../net/byte-store.js";
import type { ProxyContext } from "../exchange/proxy-context.js";
import { NO_MEMORY, TARGET_SIZE } from "../exchange/proxy-limits.js";

/** Maximum bytes of a request line beside its target: method, spaces, version and line end. */
const LINE_EXTRA_BYTES = 64;
const LF = 0x0a;

/** Why a head that begins with `bytes` will be refused; undefined if it may be accepted. */
export function partialHeadRefusal(
  bytes: ByteStore,
  { budget, config }: ProxyContext,
): HttpError | undefined {
  const { buffer, start, length } = bytes;
  const lineLimit = config.limits.maxTargetBytes + LINE_EXTRA_BYTES;
  if (length > config.http.maxHeaderBytes) return HTTP_ERRORS.HEAD_SIZE;
  if (length > lineLimit && !buffer.subarray(start, start + lineLimit).includes(LF)) return TARGET_SIZE;
  return budget.exhausted && length > SMALL_HEAD_BYTES ? NO_MEMORY : undefined;
}
