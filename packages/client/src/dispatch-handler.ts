// The handler to which a dispatcher reports a response. undici has two forms of handlers: one in its versions 5 to 7, the other
// in 7 and later. Node's own `fetch` may use either.

import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";

/** Through this a handler of the later form controls a request. */
export interface DispatchController {
  readonly aborted: boolean;
  readonly paused: boolean;
  readonly reason: Error | null;
  /** Names and values alternately, as received. */
  rawHeaders: Buffer[];
  rawTrailers: Buffer[];
  abort(reason?: Error): void;
  pause(): void;
  resume(): void;
}

/** A handler of either form; the later one has `onRequestStart`. */
export interface DispatchHandler {
  onRequestStart?(controller: DispatchController, context: unknown): void;
  onRequestUpgrade?(
    controller: DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    socket: Duplex,
  ): void;
  onResponseStart?(
    controller: DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
    statusText?: string,
  ): void;
  onResponseData?(controller: DispatchController, chunk: Buffer): void;
  onResponseEnd?(controller: DispatchController, trailers: NodeJS.Dict<string>): void;
  onResponseError?(controller: DispatchController, error: Error): void;

  onConnect?(abort: (reason?: Error) => void): void;
  onUpgrade?(status: number, headers: Buffer[], socket: Duplex): void;
  onHeaders?(status: number, headers: Buffer[], resume: () => void, statusText: string): boolean | void;
  onData?(chunk: Buffer): boolean | void;
  onComplete?(trailers: Buffer[]): void;
  onError?(error: Error): void;
}

/** Reports the progress of a request to its handler, in the form that the handler supports. Every call may throw. */
export class HandlerNotifier {
  readonly #handler: DispatchHandler;
  readonly #control: DispatchController;
  readonly #later: boolean;

  constructor(handler: DispatchHandler, control: DispatchController) {
    this.#handler = handler;
    this.#control = control;
    this.#later = typeof handler.onRequestStart === "function";
  }

  start(): void {
    if (this.#later) this.#handler.onRequestStart?.(this.#control, {});
    else this.#handler.onConnect?.((reason) => this.#control.abort(reason));
  }

  upgrade({ statusCode = 0, headers, rawHeaders }: IncomingMessage, socket: Duplex): void {
    const raw = rawHeaders.map(bytes);
    this.#control.rawHeaders = raw;
    if (this.#later) this.#handler.onRequestUpgrade?.(this.#control, statusCode, headers, socket);
    else this.#handler.onUpgrade?.(statusCode, raw, socket);
  }

  head({ statusCode = 0, headers, rawHeaders, statusMessage = "" }: IncomingMessage): void {
    const raw = rawHeaders.map(bytes);
    this.#control.rawHeaders = raw;
    if (this.#later) {
      this.#handler.onResponseStart?.(this.#control, statusCode, headers, statusMessage);
      return;
    }
    const proceed = this.#handler.onHeaders?.(statusCode, raw, () => this.#control.resume(), statusMessage);
    if (proceed === false) this.#control.pause();
  }

  data(chunk: Buffer): void {
    if (this.#later) this.#handler.onResponseData?.(this.#control, chunk);
    else if (this.#handler.onData?.(chunk) === false) this.#control.pause();
  }

  end({ trailers, rawTrailers }: IncomingMessage): void {
    const raw = rawTrailers.map(bytes);
    this.#control.rawTrailers = raw;
    if (this.#later) this.#handler.onResponseEnd?.(this.#control, trailers);
    else this.#handler.onComplete?.(raw);
  }

  error(error: Error): void {
    if (this.#later) this.#handler.onResponseError?.(this.#control, error);
    else this.#handler.onError?.(error);
  }
}

function bytes(text: string): Buffer {
  return Buffer.from(text, "latin1");
}
