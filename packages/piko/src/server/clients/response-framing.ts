// How the body of a response is framed for an HTTP/1.1 or HTTP/1.0 client; decided once, when its head arrives.

import { BODY_CHUNKED, BODY_UNTIL_CLOSE, responseBody } from "../../http/body-framing.js";
import type { ResponseHead } from "../../http/head.js";
import {
  FRAMING_AS_IS,
  FRAMING_CHUNKED,
  FRAMING_NONE,
  type ResponseRewrite,
} from "../../http/h1/rewrite-response-head.js";

export class ResponseFraming {
  /** The changes to the head. */
  readonly rewrite: ResponseRewrite = {
    framing: FRAMING_AS_IS,
    connectionClose: false,
    keepAliveHttp10: false,
    dateLine: undefined,
    halfClose: false,
    fromService: false,
  };
  /** Whether the client gets chunks, because the body's length is unknown and the connection stays open. */
  chunking = false;
  /** Whether the body ends with the connection, because an HTTP/1.0 client doesn't know chunks. */
  untilClose = false;
  /** Whether the client's connection continues after this response. */
  keepAlive = false;

  /** Sets the framing of a final response. `mayKeepAlive`: whether the connection stays open unless the response prevents it. */
  setFinal(head: ResponseHead, method: string, http10: boolean, mayKeepAlive: boolean): void {
    const kind = responseBody(head, method);
    const unknownLength = kind === BODY_CHUNKED || kind === BODY_UNTIL_CLOSE;
    const { rewrite } = this;
    this.chunking = unknownLength && !http10;
    this.untilClose = unknownLength && http10;
    this.keepAlive = mayKeepAlive && !this.untilClose;
    rewrite.framing = this.chunking ? FRAMING_CHUNKED : this.untilClose ? FRAMING_NONE : FRAMING_AS_IS;
    rewrite.connectionClose = !this.keepAlive;
    rewrite.keepAliveHttp10 = this.keepAlive && http10;
  }

  /** Sets the framing of an interim response or a 101, which have no body. `halfClose`: see ResponseRewrite. */
  setBodiless(halfClose: boolean): void {
    const { rewrite } = this;
    rewrite.framing = FRAMING_NONE;
    rewrite.halfClose = halfClose;
    rewrite.connectionClose = false;
    rewrite.keepAliveHttp10 = false;
  }
}
