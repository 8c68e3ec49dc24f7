// Requests to other nodes over TCP, and their answers.

import { Socket, connect } from "node:net";
import { errorText } from "@piko/client/internal";
import { type Clock, dial, type HostLookup } from "@piko/tunnel";
import type { ExchangeDone, MessageEnd } from "../protocol/transport.js";
import { GossipError, type GossipErrorCode } from "../wire/errors.js";
import { parsePeerAddress } from "../wire/peer-address.js";
import type { AllowedAddresses } from "./allowed-addresses.js";
import { MessageBuffer } from "./message-buffer.js";

/** Maximum size of an answer to a join, which contains a cluster's whole state. */
const MAX_RESPONSE_BYTES = 64 * 1_024 * 1_024;
/** Memory for incomplete answers, of all exchanges together. */
const MAX_PENDING_BYTES = 2 * MAX_RESPONSE_BYTES;
const NOTHING: Buffer = Buffer.alloc(0);
/** Errors that show that no node is at the address. All others may have their cause on this side. */
const UNREACHABLE_CODES: ReadonlySet<string> = new Set(["ECONNREFUSED", "EHOSTUNREACH", "EHOSTDOWN"]);

/** The client side of exchanges. */
export class StreamClient {
  readonly #clock: Clock;
  readonly #names: HostLookup;
  readonly #allowed: AllowedAddresses;
  #pendingBytes = 0;

  constructor(clock: Clock, names: HostLookup, allowed: AllowedAddresses) {
    this.#clock = clock;
    this.#names = names;
    this.#allowed = allowed;
  }

  /** Sends a request; see {@link GossipTransport.exchange}. */
  exchange(
    address: string,
    request: Buffer,
    responseEnd: MessageEnd,
    timeoutMs: number,
    done: ExchangeDone,
  ): () => void {
    const clock = this.#clock;
    const target = parsePeerAddress(address);
    if (target === undefined) {
      const invalid = new GossipError(
        "PIKO_GOSSIP_BAD_ADDRESS",
        `invalid address ${JSON.stringify(address)}`,
      );
      const timer = clock.setTimeout(() => done(invalid, NOTHING), 0);
      return () => clock.clearTimeout(timer);
    }
    let over = false;
    const finish = (error: GossipError | undefined, response: Buffer): void => {
      if (over) return;
      over = true;
      clock.clearTimeout(deadline);
      stop();
      settle(0);
      done(error, response);
    };
    const fail = (code: GossipErrorCode, reason: string, cause?: unknown): void =>
      finish(new GossipError(code, `exchange with ${address}: ${reason}`, { cause }), NOTHING);
    const deadline = clock.setTimeout(
      () => fail("PIKO_GOSSIP_TIMEOUT", `no answer within ${Math.round(timeoutMs)} ms`),
      timeoutMs,
    );
    const buffer = new MessageBuffer(responseEnd, MAX_RESPONSE_BYTES);
    let pending = 0;
    const settle = (bytes: number): void => {
      this.#pendingBytes += bytes - pending;
      pending = bytes;
    };
    const failBy = (error: NodeJS.ErrnoException): void => {
      const code = UNREACHABLE_CODES.has(error.code ?? "")
        ? "PIKO_GOSSIP_UNREACHABLE"
        : "PIKO_GOSSIP_EXCHANGE";
      fail(code, errorText(error), error);
    };
    const start = (socket: Socket): void => {
      socket.on("data", (chunk: Buffer) => {
        let response: Buffer | undefined;
        try {
          response = buffer.add(chunk);
          settle(buffer.capacity);
        } catch (error) {
          fail("PIKO_GOSSIP_EXCHANGE", (error as Error).message, error);
          return;
        }
        if (response !== undefined) finish(undefined, response);
        else if (this.#pendingBytes > MAX_PENDING_BYTES)
          fail("PIKO_GOSSIP_EXCHANGE", "too many large answers");
      });
      socket.on("error", failBy);
      socket.on("close", () => fail("PIKO_GOSSIP_EXCHANGE", "closed without an answer"));
      socket.write(request);
    };
    let stop = dial(
      { ...target, names: this.#names, clock },
      (host) =>
        this.#allowed.has(host) ? connect({ host, port: target.port, noDelay: true }) : refused(host),
      (error, socket) => {
        if (socket === undefined) {
          failBy(error ?? new Error("no connection"));
          return;
        }
        stop = () => void socket.destroy();
        start(socket);
      },
    );
    return () => {
      over = true;
      clock.clearTimeout(deadline);
      stop();
      settle(0);
    };
  }
}

/** Returns a socket that fails like one that can't connect to its host. */
function refused(host: string): Socket {
  return new Socket().destroy(new Error(`${host} is not in cluster.gossip.allowed_cidrs`));
}
