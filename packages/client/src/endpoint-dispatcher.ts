// An undici dispatcher for `fetch`, which sends its requests to an endpoint. It is built on node:http and an EndpointAgent,
// because this package has no dependencies, and Node doesn't export its own undici.

import { EventEmitter } from "node:events";
import { type ClientRequest, type IncomingMessage, request as startRequest } from "node:http";
import { type Duplex, Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { type DispatchController, type DispatchHandler, HandlerNotifier } from "./dispatch-handler.js";
import { EndpointAgent, type EndpointAgentOptions } from "./endpoint-agent.js";
import { ClientError } from "./errors.js";

/** The type of `fetch`'s `dispatcher`, according to the program's declarations of Node. */
export type FetchDispatcher = RequestInit extends { dispatcher?: infer D } ? NonNullable<D> : object;

/** A request as undici describes it to its dispatchers. */
interface DispatchOptions {
  readonly origin?: string | URL;
  readonly path: string;
  readonly method: string;
  readonly headers?:
    | readonly (string | Buffer)[]
    | Iterable<readonly [string, string]>
    | Readonly<Record<string, string | string[] | undefined>>
    | null;
  readonly body?: unknown;
  /** The protocol to upgrade to. */
  readonly upgrade?: string | boolean | null;
}

/** Fields that concern a single connection; the agent sets those for its connection to the endpoint. */
const OF_CONNECTION: ReadonlySet<string> = new Set(["connection", "keep-alive", "upgrade"]);

class Dispatcher extends EventEmitter {
  readonly endpointId: string;
  readonly #agent: EndpointAgent;
  readonly #running = new Set<Exchange>();
  #closed = false;
  #onIdle: (() => void) | undefined;

  constructor(endpointId: string, options: EndpointAgentOptions = {}) {
    super();
    this.endpointId = endpointId;
    this.#agent = new EndpointAgent(endpointId, options);
  }

  /** Called by `fetch`, once per request. Returns true: more requests may be dispatched at once. */
  dispatch(options: DispatchOptions, handler: DispatchHandler): boolean {
    const exchange = new Exchange(options, handler, this.#agent, () => {
      this.#running.delete(exchange);
      if (this.#running.size === 0) this.#onIdle?.();
    });
    this.#running.add(exchange);
    if (this.#closed) exchange.abort(new ClientError("PIKO_CLIENT_CLOSED", "dispatcher closed"));
    else exchange.start();
    return true;
  }

  /** Accepts no new requests; resolves when those in progress have finished. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#running.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    this.#agent.destroy();
  }

  /** Accepts no new requests, and ends those in progress with an error. */
  destroy(error?: Error | null): Promise<void> {
    this.#closed = true;
    const reason = error ?? new ClientError("PIKO_CLIENT_CLOSED", "dispatcher closed");
    for (const exchange of this.#running) exchange.abort(reason);
    this.#agent.destroy();
    return Promise.resolve();
  }
}

/** One request and its response. */
class Exchange implements DispatchController {
  aborted = false;
  reason: Error | null = null;
  rawHeaders: Buffer[] = [];
  rawTrailers: Buffer[] = [];
  readonly #options: DispatchOptions;
  readonly #agent: EndpointAgent;
  readonly #notifier: HandlerNotifier;
  readonly #onOver: () => void;
  #request: ClientRequest | undefined;
  #response: IncomingMessage | undefined;
  #paused = false;
  #over = false;

  constructor(options: DispatchOptions, handler: DispatchHandler, agent: EndpointAgent, onOver: () => void) {
    this.#options = options;
    this.#agent = agent;
    this.#notifier = new HandlerNotifier(handler, this);
    this.#onOver = onOver;
  }

  get paused(): boolean {
    return this.#paused;
  }

  pause(): void {
    this.#paused = true;
    this.#response?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#response?.resume();
  }

  abort(reason?: Error): void {
    if (this.#over) return;
    this.aborted = true;
    this.reason = reason ?? new DOMException("This operation was aborted", "AbortError");
    this.#fail(this.reason);
  }

  start(): void {
    this.#guard(() => {
      this.#notifier.start();
      if (!this.#over) this.#send();
    });
  }

  #send(): void {
    const { origin, path, method, upgrade, body } = this.#options;
    const { hostname, port } = new URL(origin ?? "http://localhost");
    const content = contentOf(body);
    const headers = { ...content.headers, ...fieldsOf(this.#options.headers) };
    if (typeof upgrade === "string") Object.assign(headers, { connection: "upgrade", upgrade });
    const host = hostname.replace(/^\[|\]$/g, "");
    const request = startRequest({
      ...{ agent: this.#agent, host, port: port === "" ? undefined : Number(port), path, method, headers },
    });
    this.#request = request;
    request.on("error", (error) => this.#fail(error));
    request.on("response", (response) => this.#guard(() => this.#take(response)));
    request.on("upgrade", (response, socket: Duplex, first: Buffer) => {
      if (first.length > 0) socket.unshift(first);
      this.#guard(() => this.#notifier.upgrade(response, socket));
      this.#end();
    });
    const { bytes } = content;
    if (!(bytes instanceof Readable)) {
      request.end(bytes);
      return;
    }
    bytes.on("error", (error) => this.#fail(error));
    bytes.pipe(request);
  }

  #take(response: IncomingMessage): void {
    this.#response = response;
    response.on("error", (error) => this.#fail(error));
    this.#notifier.head(response);
    response.on("data", (chunk: Buffer) => this.#guard(() => this.#notifier.data(chunk)));
    response.on("end", () => {
      this.#guard(() => this.#notifier.end(response));
      this.#end();
    });
    if (this.#paused) response.pause();
  }

  /** If the handler throws, its request is aborted. */
  #guard(notify: () => void): void {
    if (this.#over) return;
    try {
      notify();
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #fail(error: Error): void {
    if (this.#over) return;
    this.#end();
    this.#request?.destroy();
    this.#notifier.error(error);
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#onOver();
  }
}

/** Converts a body to bytes or a stream, with the fields that describe it. */
function contentOf(body: unknown): { bytes: Buffer | Readable | undefined; headers: Record<string, string> } {
  if (body === undefined || body === null) return { bytes: undefined, headers: {} };
  if (typeof body === "string") return { bytes: Buffer.from(body), headers: {} };
  if (ArrayBuffer.isView(body)) {
    return { bytes: Buffer.from(body.buffer, body.byteOffset, body.byteLength), headers: {} };
  }
  if (body instanceof Readable) return { bytes: body, headers: {} };
  if (Symbol.asyncIterator in Object(body) && !("getReader" in Object(body))) {
    return { bytes: Readable.from(body as AsyncIterable<Uint8Array>, { objectMode: false }), headers: {} };
  }
  // A Blob or FormData, for example: a Response encodes it as fetch would send it.
  const { headers, body: stream } = new Response(body as ConstructorParameters<typeof Response>[0]);
  const type = headers.get("content-type");
  const bytes = stream === null ? undefined : Readable.fromWeb(stream as ReadableStream<Uint8Array>);
  return { bytes, headers: type === null ? {} : { "content-type": type } };
}

/** The fields of a request, from any of undici's forms, by lower-case name. */
function fieldsOf(headers: DispatchOptions["headers"]): Record<string, string | string[]> {
  const fields: Record<string, string | string[]> = {};
  const add = (name: string, value: string | string[]): void => {
    const key = name.toLowerCase();
    if (OF_CONNECTION.has(key)) return;
    const before = fields[key];
    fields[key] = before === undefined ? value : [before, value].flat();
  };
  if (headers === undefined || headers === null) return fields;
  if (Array.isArray(headers) && !Array.isArray(headers[0])) {
    for (let i = 0; i + 1 < headers.length; i += 2) add(String(headers[i]), String(headers[i + 1]));
  } else if (Symbol.iterator in headers) {
    for (const [name, value] of headers as Iterable<[string, string]>) add(name, value);
  } else {
    for (const [name, value] of Object.entries(headers)) {
      if (value !== undefined) add(name, value as string | string[]);
    }
  }
  return fields;
}

/**
 * A dispatcher for `fetch` that sends all requests to one endpoint. The host of their URL is only used as the `Host` field that
 * the service sees. It also works with undici's `fetch`, `request`, `stream` and `pipeline`. The options are those of
 * {@link EndpointAgent}. `close()` waits for requests in progress, `destroy()` doesn't.
 */
export const EndpointDispatcher: new (
  endpointId: string,
  options?: EndpointAgentOptions,
) => FetchDispatcher & { readonly endpointId: string } = Dispatcher as never;
/** Instances of the class. */
export type EndpointDispatcher = InstanceType<typeof EndpointDispatcher>;
