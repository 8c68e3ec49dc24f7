// How the body of a response comes from the upstream and goes on to the client; decided once, when its head is there.

import { BODY_CHUNKED, BODY_NONE, BODY_UNTIL_CLOSE, responseBody } from "../../http/body-framing.js";
import type { ResponseHead } from "../../http/head.js";
import {
  FRAMING_AS_IS,
  FRAMING_CHUNKED,
  FRAMING_DROP_CHUNKED,
  FRAMING_NONE,
  type ResponseRewrite,
} from "../../http/h1/rewrite-response-head.js";

export class ResponseFraming {
  /** What the head's bytes are changed by. */
  readonly rewrite: ResponseRewrite = {
    framing: FRAMING_AS_IS,
    connectionClose: false,
    keepAliveHttp10: false,
    dateLine: undefined,
  };
  /** One of the BODY_* numbers. */
  kind: number = BODY_NONE;
  /** The client knows no chunks: they are taken out. */
  decode = false;
  /** The body ends with the upstream's connection: the client gets chunks, and keeps its own. */
  chunking = false;
  /** The upstream keeps its connection for another request. */
  reusable = false;
  /** The client's connection goes on behind this response. */
  keepAlive = false;

  /** For a final response. `mayKeepAlive`: nothing but the response stands against it. */
  setFinal(head: ResponseHead, method: string, http10: boolean, mayKeepAlive: boolean): void {
    const kind = responseBody(head, method);
    const untilClose = kind === BODY_UNTIL_CLOSE;
    const { rewrite } = this;
    this.kind = kind;
    this.decode = http10 && kind === BODY_CHUNKED;
    this.chunking = untilClose && !http10;
    this.reusable = !untilClose && !head.connectionClose && head.minorVersion === 1;
    this.keepAlive = mayKeepAlive && !this.decode && !(untilClose && http10);
    rewrite.framing = this.decode ? FRAMING_DROP_CHUNKED : this.chunking ? FRAMING_CHUNKED : FRAMING_AS_IS;
    rewrite.connectionClose = !this.keepAlive;
    rewrite.keepAliveHttp10 = this.keepAlive && http10;
  }

  /** For an interim response or a 101, which have no body. */
  setBodiless(): void {
    const { rewrite } = this;
    rewrite.framing = FRAMING_NONE;
    rewrite.connectionClose = false;
    rewrite.keepAliveHttp10 = false;
  }
}
