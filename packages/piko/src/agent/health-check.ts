// Checks periodically whether a listener's service is healthy, by a GET request or by a connection.

import type { ByteSocket, Clock, SocketHandler, Timer } from "@piko/tunnel";
import type { HealthCheckConfig } from "../config/health-check.js";
import { connectionFailure, type ServiceConnector } from "./connect-service.js";

/** Maximum number of bytes that are read of a response: only its first line matters. */
const MAX_LINE_BYTES = 1_024;

export interface HealthCheckOptions {
  readonly config: HealthCheckConfig;
  readonly connector: ServiceConnector;
  /** For the `Host` field. */
  readonly host: string;
  readonly clock: Clock;
  /**
   * The service has become healthy, or unhealthy for this reason. The first result is always reported; later ones if as many
   * in a row as their threshold differ from the reported state.
   */
  readonly onChange: (healthy: boolean, reason: string) => void;
}

export class HealthCheck {
  readonly #options: HealthCheckOptions;
  #healthy: boolean | undefined;
  /** Number of consecutive checks whose result differs from the reported state. */
  #others = 0;
  #timer: Timer | undefined;
  #probe: Probe | undefined;
  #stopped = false;

  constructor(options: HealthCheckOptions) {
    this.#options = options;
  }

  /** Starts the first check immediately. */
  start(): void {
    const { clock, config, connector, host } = this.#options;
    const request =
      config.path === ""
        ? undefined
        : `GET ${config.path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: piko-health-check\r\nConnection: close\r\n\r\n`;
    this.#probe = new Probe(request, (failure) => this.#onResult(failure));
    this.#probe.begin(connector, clock, config.timeoutMs);
  }

  /** Stops checking and reporting. */
  stop(): void {
    this.#stopped = true;
    this.#probe?.cancel();
    if (this.#timer !== undefined) this.#options.clock.clearTimeout(this.#timer);
  }

  #onResult(failure: string | undefined): void {
    if (this.#stopped) return;
    const { clock, config, onChange } = this.#options;
    this.#probe = undefined;
    this.#timer = clock.setTimeout(() => this.start(), config.intervalMs);
    const healthy = failure === undefined;
    this.#others = healthy === this.#healthy ? 0 : this.#others + 1;
    const threshold = healthy ? config.healthyThreshold : config.unhealthyThreshold;
    if (this.#others === 0 || (this.#healthy !== undefined && this.#others < threshold)) return;
    this.#healthy = healthy;
    this.#others = 0;
    onChange(healthy, failure ?? "");
  }
}

/** One check. Reports its result once: undefined, or what was wrong. */
class Probe implements SocketHandler {
  readonly #request: string | undefined;
  #done: ((failure: string | undefined) => void) | undefined;
  #socket: ByteSocket | undefined;
  #timer: { readonly clock: Clock; readonly timer: Timer } | undefined;
  #line = "";

  constructor(request: string | undefined, done: (failure: string | undefined) => void) {
    this.#request = request;
    this.#done = done;
  }

  begin(connector: ServiceConnector, clock: Clock, timeoutMs: number): void {
    const timer = clock.setTimeout(() => this.#finish(`no answer in ${timeoutMs} ms`), timeoutMs);
    this.#timer = { clock, timer };
    const onOpen = (): void => {
      if (this.#request === undefined) this.#finish(undefined);
    };
    try {
      this.#socket = connector.open(this, { clock, onOpen });
    } catch (error) {
      // A file of the TLS settings can't be read at the moment.
      this.#finish(connectionFailure(error instanceof Error ? error : new Error(String(error))));
      return;
    }
    if (this.#request !== undefined) {
      this.#socket.out.writeLatin1(this.#request);
      this.#socket.out.flush();
    }
  }

  cancel(): void {
    this.#done = undefined;
    this.#finish(undefined);
  }

  onBytes(buffer: Buffer, start: number, end: number): void {
    this.#line += buffer.toString("latin1", start, Math.min(end, start + MAX_LINE_BYTES));
    const lineEnd = this.#line.indexOf("\r\n");
    if (lineEnd < 0 && this.#line.length < MAX_LINE_BYTES) return;
    const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(this.#line.slice(0, Math.max(0, lineEnd)))?.[1];
    if (status === undefined) this.#finish("the answer is not HTTP/1.1");
    else this.#finish(status >= "200" && status < "400" ? undefined : `status ${status}`);
  }

  onEnd(): void {
    this.#finish("connection closed without an answer");
  }

  onDrain(): void {}

  onClose(error: Error | undefined): void {
    this.#finish(connectionFailure(error));
  }

  #finish(failure: string | undefined): void {
    if (this.#timer !== undefined) this.#timer.clock.clearTimeout(this.#timer.timer);
    this.#timer = undefined;
    this.#socket?.destroy();
    const done = this.#done;
    this.#done = undefined;
    done?.(failure);
  }
}
