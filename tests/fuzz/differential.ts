// Compares one case with the oracle. What must hold: if this program accepts messages, Node reads the same ones; if this
// program forwards messages, Node reads them as forwarding-model.ts says they must look; and cutting the bytes into pieces
// changes nothing. So whatever Node refuses is refused here, too, except for the named exceptions of responses.

import { PLAIN_REQUEST } from "../../packages/piko/src/http/request-rewrite.js";
import { countBeforeUnknownMethod, makesNodeStopReading, makesNodeDisconnect } from "./explained.js";
import { withoutExceptions } from "../../packages/piko/test/response-exceptions.js";
import { forwardedRequest, forwardedResponse } from "./forwarding-model.js";
import type { FuzzCase, RequestCase, ResponseCase } from "./generate.js";
import { difference, type Message } from "./message.js";
import type { NodeOracle, Verdict } from "./node-oracle.js";
import { type Reading, readRequests, readResponse } from "./our-reader.js";
import { isRechunked } from "./sent-message.js";

const FORWARDED_FOR = "192.0.2.7";
const MISSING_HOST = "my-endpoint";

/** A case that has been read by this program and is being read by the oracle. */
export interface Pending {
  readonly fuzzCase: FuzzCase;
  /** Messages that were accepted. */
  readonly accepted: number;
  /** Accepted messages that the oracle can't judge. Final once `judge` has been called. */
  explained: number;
  /** How reading ended in this program. */
  readonly outcome: string;
  /** Call it after the oracle has settled; returns the difference, or undefined. */
  readonly judge: () => string | undefined;
}

/** Reads the case, and gives the oracle what it has to read; most cases without a message need no oracle. */
export function start(fuzzCase: FuzzCase, oracle: NodeOracle): Pending {
  return fuzzCase.kind === "request" ? startRequests(fuzzCase, oracle) : startResponse(fuzzCase, oracle);
}

function startRequests(fuzzCase: RequestCase, oracle: NodeOracle): Pending {
  const { bytes, cuts, forwardedHost, forwardedProto } = fuzzCase;
  const proxy = {
    ...PLAIN_REQUEST,
    connectionClose: true,
    host: Buffer.from(MISSING_HOST, "latin1"),
    forwardedFor: Buffer.from(FORWARDED_FOR, "latin1"),
    forwardedProto: forwardedProto === undefined ? undefined : Buffer.from(forwardedProto, "latin1"),
    forwardedHost: forwardedHost === undefined ? undefined : Buffer.from(forwardedHost, "latin1"),
  };
  const reading = readRequests(bytes, [], proxy);
  const asked = countBeforeUnknownMethod(reading.methods);
  const again = cuts.length === 0 ? reading : readRequests(bytes, cuts, proxy);
  const torn =
    again.end === reading.end ? compareReadings(reading, again) : `ends at ${again.end}, not ${reading.end}`;
  const pending: Pending = {
    fuzzCase,
    accepted: reading.sent.length,
    explained: reading.sent.length - asked,
    outcome: reading.outcome,
    judge: () => torn,
  };
  if (torn !== undefined || asked === 0) return pending;
  const agents = reading.sent.map((sent) => readRequests(sent, [], PLAIN_REQUEST));
  const misread = agents.findIndex(
    ({ sent, end }, i) => sent.length !== 1 || end !== reading.sent[i]?.length,
  );
  if (misread !== -1) {
    const text = reading.sent[misread]?.toString("latin1");
    return {
      ...pending,
      judge: () => `the agent reads ${agents[misread]?.outcome} in ${JSON.stringify(text)}`,
    };
  }
  const original = oracle.requests(bytes);
  const atService = oracle.requests(Buffer.concat(agents.slice(0, asked).flatMap(({ sent }) => sent)));
  const judge = (): string | undefined => {
    const read = original.slice(0, asked);
    if (read.length < asked) {
      if (!makesNodeStopReading(read.at(-1)) && !makesNodeDisconnect(bytes.toString("latin1", reading.end))) {
        return `accepted ${asked} requests, Node ${read.length}: ${JSON.stringify(read)}`;
      }
      pending.explained += asked - read.length;
    }
    const additions = {
      missingHost: MISSING_HOST,
      forwardedFor: FORWARDED_FOR,
      forwardedProto,
      forwardedHost,
    };
    return compare(
      "at the service",
      read.length < asked ? atService.slice(0, read.length) : atService,
      read.map((message) => forwardedRequest(message, additions)),
    );
  };
  return Object.assign(pending, { judge });
}

function startResponse(fuzzCase: ResponseCase, oracle: NodeOracle): Pending {
  const { bytes, cuts, method, http10 } = fuzzCase;
  const agent = readResponse(bytes, [], { method, http10: false });
  const pending = { fuzzCase, accepted: agent.sent.length, explained: 0, outcome: agent.outcome };
  const again = cuts.length === 0 ? agent : readResponse(bytes, cuts, { method, http10: false });
  const torn = compareReadings(agent, again);
  if (torn !== undefined || agent.sent.length === 0) return { ...pending, judge: () => torn };
  const sent = Buffer.concat(agent.sent);
  // The last byte arrives separately: without it, the response must not be complete.
  const proxy = readResponse(sent, [sent.length - 1], { method, http10 });
  if (proxy.sent.length !== 1 || proxy.arrived !== sent.length) {
    return {
      ...pending,
      judge: () => `the proxy reads ${proxy.outcome} in ${JSON.stringify(sent.toString("latin1"))}`,
    };
  }
  const original = oracle.response(method, withoutExceptions(bytes, method));
  const atClient = oracle.response(method, Buffer.concat(proxy.sent));
  const judge = (): string | undefined => {
    if (original.length !== 1) return "accepted a response that Node refuses";
    return compare(
      "at the client",
      atClient,
      original.map((message) => forwardedResponse(message, method, http10)),
    );
  };
  return { ...pending, judge };
}

function compare(where: string, seen: Verdict, expected: readonly Message[]): string | undefined {
  const found = difference(seen, expected);
  return found === undefined ? undefined : `${where}, ${found}`;
}

/**
 * Cutting may only change where this program's chunks begin, and when it refuses: a head that arrives in pieces isn't checked
 * until it is complete.
 */
function compareReadings(whole: Reading, torn: Reading): string | undefined {
  const same = isWhole(whole) ? whole.outcome === torn.outcome : !isWhole(torn);
  if (whole.sent.length !== torn.sent.length || !same) {
    return `in pieces: ${torn.sent.length} messages, ${torn.outcome}; at once: ${whole.sent.length}, ${whole.outcome}`;
  }
  for (let i = 0; i < whole.sent.length; i++) {
    const left = whole.sent[i];
    const right = torn.sent[i];
    if (left !== undefined && right !== undefined && !left.equals(right) && !isRechunked(left, right)) {
      return `sent in pieces: ${JSON.stringify(right.toString("latin1"))}\n       at once: ${JSON.stringify(left.toString("latin1"))}`;
    }
  }
  return undefined;
}

function isWhole({ outcome }: Reading): boolean {
  return outcome === "whole" || outcome === "last";
}
