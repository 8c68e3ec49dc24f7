// A machine with too little CPU for its processes, for simulations: work is delayed, and messages wait in sockets meanwhile.
// On the simulated network alone, every node is fast enough.

import type { Clock, Timer } from "@piko/tunnel";
import {
  joinPieces,
  type NetworkMessageEnd,
  type NetworkReceiver,
  type SimulatedTransport,
} from "../simulated-network.js";

/** How long a process runs before it is the next one's turn. */
const SLICE_MS = 2;
/** CPU time for each kind of work in milliseconds, about what Node takes on a small machine including system calls. */
const TIMER_MS = 0.02;
const PACKET_IN_MS = 0.1;
const PACKET_OUT_MS = 0.08;
const CONNECTION_MS = 1;
const BYTE_MS = 40 / 1_000_000;
/** Maximum packets that wait in a socket; further ones are lost. */
const RECEIVE_BUFFER_PACKETS = 250;

interface Work {
  leftMs: number;
  readonly done: () => void;
}

/** The methods by which a process reaches the network. */
export type BusyTransport = Pick<
  SimulatedTransport,
  "attach" | "sendPacket" | "exchange" | "comesFrom" | "close"
>;

type ExchangeDone = (error: Error | undefined, response: Buffer) => void;

/** Processors shared by several processes. */
export class SimulatedMachine {
  /** May be less than one, and may change at any time. */
  processors: number;
  readonly #clock: Clock;
  readonly #processes: SimulatedProcess[] = [];
  #turn = 0;

  constructor(clock: Clock, processors: number) {
    this.#clock = clock;
    this.processors = processors;
    this.#arm();
  }

  /** Creates a process that takes turns with the others. */
  process(): SimulatedProcess {
    const process = new SimulatedProcess(this.#clock);
    this.#processes.push(process);
    return process;
  }

  #arm(): void {
    this.#clock.setTimeout(() => {
      this.#run(SLICE_MS * this.processors);
      this.#arm();
    }, SLICE_MS);
  }

  /** Gives CPU time to processes that have work. */
  #run(ms: number): void {
    let idle = 0;
    for (let leftMs = ms; leftMs > 0 && idle < this.#processes.length; ) {
      const used =
        this.#processes[this.#turn++ % this.#processes.length]?.run(Math.min(SLICE_MS, leftMs)) ?? 0;
      leftMs -= used;
      idle = used > 0 ? 0 : idle + 1;
    }
  }
}

/** One process: does its work in order, one piece after the other. */
export class SimulatedProcess {
  /** The process's clock, whose timers wait for CPU time. */
  readonly clock: Clock;
  readonly #queue: Work[] = [];
  #packets = 0;

  constructor(clock: Clock) {
    this.clock = {
      now: () => clock.now(),
      setTimeout: (callback, ms) => new ProcessTimer(clock, (run) => this.add(TIMER_MS, run), callback, ms),
      clearTimeout: (timer) => (timer as ProcessTimer).clear(),
    };
  }

  /** Runs for at most `ms`; returns how long it ran. */
  run(ms: number): number {
    let leftMs = ms;
    for (let [first] = this.#queue; first !== undefined && leftMs > 0; [first] = this.#queue) {
      const usedMs = Math.min(first.leftMs, leftMs);
      first.leftMs -= usedMs;
      leftMs -= usedMs;
      if (first.leftMs > 0) break;
      this.#queue.shift();
      first.done();
    }
    return ms - leftMs;
  }

  /** Calls `done` once the process has had `ms` of CPU time for it. */
  add(ms: number, done: () => void): void {
    this.#queue.push({ leftMs: ms, done });
  }

  /** A transport whose messages cost this process CPU time. */
  transport(inner: SimulatedTransport): BusyTransport {
    return {
      attach: (receiver) => inner.attach(this.#receiver(receiver)),
      sendPacket: (address, packet) => {
        this.add(PACKET_OUT_MS, () => {});
        inner.sendPacket(address, packet);
      },
      exchange: (
        address: string,
        request: Buffer,
        responseEnd: NetworkMessageEnd,
        timeoutMs: number,
        done: ExchangeDone,
      ) => {
        this.add(CONNECTION_MS, () => {});
        let over = false;
        const stop = inner.exchange(address, request, responseEnd, timeoutMs, (error, response) =>
          this.add(response.length * BYTE_MS, () => {
            if (!over) done(error, response);
          }),
        );
        return () => {
          over = true;
          stop();
        };
      },
      comesFrom: (address, ip) => inner.comesFrom(address, ip),
      close: () => inner.close(),
    };
  }

  #receiver(receiver: NetworkReceiver): NetworkReceiver {
    return {
      ...receiver,
      onPacket: (packet, ip) => {
        if (this.#packets >= RECEIVE_BUFFER_PACKETS) return;
        this.#packets += 1;
        this.add(PACKET_IN_MS, () => {
          this.#packets -= 1;
          receiver.onPacket(packet, ip);
        });
      },
      onRequest: (request, ip, answer, end) => {
        const answerLater = (pieces: Iterator<Buffer> | undefined): void => {
          if (pieces === undefined) answer(undefined);
          else {
            const response = joinPieces(pieces);
            this.add(response.length * BYTE_MS, () => answer([response].values()));
          }
        };
        this.add(CONNECTION_MS + request.length * BYTE_MS, () =>
          receiver.onRequest(request, ip, answerLater, end),
        );
      },
    };
  }
}

class ProcessTimer implements Timer {
  readonly #clock: Clock;
  readonly #queue: (run: () => void) => void;
  readonly #callback: () => void;
  readonly #ms: number;
  #timer: Timer | undefined;
  #cleared = false;

  constructor(clock: Clock, queue: (run: () => void) => void, callback: () => void, ms: number) {
    this.#clock = clock;
    this.#queue = queue;
    this.#callback = callback;
    this.#ms = ms;
    this.refresh();
  }

  refresh(): unknown {
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(
      () =>
        this.#queue(() => {
          if (!this.#cleared) this.#callback();
        }),
      this.#ms,
    );
    return this;
  }

  clear(): void {
    this.#cleared = true;
    if (this.#timer !== undefined) this.#clock.clearTimeout(this.#timer);
  }
}
