// One yamux session on a fake socket and a fake clock, which records everything that the session reports.

import { FakeClock } from "@piko/testkit";
import type { TunnelError } from "../src/errors.js";
import { Outbox } from "../src/socket/outbox.js";
import { YamuxSession } from "../src/yamux/session.js";
import type { SessionOptions } from "../src/yamux/session-options.js";
import type { StreamHandler, YamuxStream } from "../src/yamux/stream.js";
import { FakeSocket } from "./fake-socket.js";
import { brief } from "./yamux-frames.js";

/** A stream handler that records its calls; a test may replace its reactions. */
export class Recorder implements StreamHandler {
  readonly calls: string[] = [];
  readonly received: Buffer[] = [];
  stream: YamuxStream | undefined;
  onDataDo: ((bytes: Buffer) => void) | undefined;
  onEndDo: (() => void) | undefined;
  onWritableDo: (() => void) | undefined;
  onResetDo: (() => void) | undefined;

  onData(buffer: Buffer, start: number, end: number): void {
    this.calls.push("data");
    const bytes = Buffer.from(buffer.subarray(start, end));
    this.received.push(bytes);
    this.onDataDo?.(bytes);
  }

  onEnd(): void {
    this.calls.push("end");
    this.onEndDo?.();
  }

  onWritable(): void {
    this.calls.push("writable");
    this.onWritableDo?.();
  }

  onReset(): void {
    this.calls.push("reset");
    this.onResetDo?.();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.received);
  }
}

export class SessionBench {
  readonly socket = new FakeSocket();
  readonly clock = new FakeClock();
  readonly out: Outbox;
  readonly session: YamuxSession;
  readonly failures: TunnelError[] = [];
  readonly accepted: Recorder[] = [];
  goAways = 0;
  /** How the owner handles a stream of the peer; accepts it by default. */
  onStreamDo: (stream: YamuxStream, recorder: Recorder) => StreamHandler | undefined = (_, recorder) =>
    recorder;
  onGoAwayDo: (() => void) | undefined;

  constructor(role: "client" | "server", options: Partial<SessionOptions> = {}) {
    this.out = new Outbox(this.socket.asSocket(), true);
    this.session = new YamuxSession({
      role,
      out: this.out,
      clock: this.clock,
      handler: {
        onStream: (stream) => {
          const recorder = new Recorder();
          recorder.stream = stream;
          this.accepted.push(recorder);
          return this.onStreamDo(stream, recorder);
        },
        onGoAway: () => {
          this.goAways++;
          this.onGoAwayDo?.();
        },
        onFailed: (error) => this.failures.push(error),
      },
      ...options,
    });
  }

  /** Passes bytes from the peer to the session, in one piece; hex text may contain spaces. */
  receive(...frames: (Buffer | string)[]): void {
    const bytes = Buffer.concat(
      frames.map((frame) =>
        typeof frame === "string" ? Buffer.from(frame.replaceAll(" ", ""), "hex") : frame,
      ),
    );
    this.session.receive(bytes, 0, bytes.length);
  }

  /** Opens a stream with a recorder. */
  open(): Recorder & { stream: YamuxStream } {
    const recorder = new Recorder();
    const stream = this.session.openStream(recorder);
    if (stream === undefined) throw new Error("the session takes no stream");
    return Object.assign(recorder, { stream });
  }

  /** All bytes sent since the last call. */
  sentBytes(): Buffer {
    this.out.flush();
    return this.socket.takeAll();
  }

  /** The frames sent since the last call, in short form. */
  sent(): string[] {
    return brief(this.sentBytes());
  }

  /** The code of the only failure. */
  get failure(): string | undefined {
    if (this.failures.length > 1) throw new Error("the session failed more than once");
    return this.failures[0]?.code;
  }
}
