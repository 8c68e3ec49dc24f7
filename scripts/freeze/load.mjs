// Sends requests at a steady rate, without waiting for responses, over keep-alive connections to several nodes in turn. Nothing is
// retried. Each request is recorded, with its times.

import { Agent, request as httpRequest } from "node:http";
import { monitorEventLoopDelay } from "node:perf_hooks";

const TICK_MS = 10;
/** If this process was delayed itself, it doesn't send all that it missed in one burst. */
const LONGEST_TICK_MS = 50;
/** Longer than the sum of a node's timeouts. */
const GIVE_UP_MS = 100_000;
const PIECES_PER_SECOND = 4;
const POSTED = "a few bytes that come back";

/** @typedef {"get" | "post" | "slow"} Kind */
/** @typedef {Partial<Record<Kind, number>>} Mix requests a second */

/**
 * @typedef {object} Asked
 * @property {number} id
 * @property {Kind} kind
 * @property {number} startMs milliseconds since 1970, as all times here
 * @property {number | undefined} headMs
 * @property {number | undefined} endMs
 * @property {number} ownMs how long the response takes when nothing is wrong
 * @property {string | undefined} failure
 */

export function nowMs() {
  return performance.timeOrigin + performance.now();
}

export class Load {
  /** @type {Asked[]} */
  asked = [];
  /** The addresses to which requests go in turn. @type {readonly string[]} */
  targets;
  #agent = new Agent({ keepAlive: true, scheduling: "fifo" });
  #delay = monitorEventLoopDelay({ resolution: 20 });
  /** @type {Set<Promise<void>>} */
  #open = new Set();
  #timer;
  #turn = 0;

  /**
   * @param {readonly string[]} targets
   * @param {Mix} mix
   */
  constructor(targets, mix) {
    this.targets = targets;
    const due = /** @type {[Kind, number][]} */ (Object.entries(mix)).map(([kind, rate]) => ({
      kind,
      rate,
      part: 0,
    }));
    let lastMs = performance.now();
    this.#delay.enable();
    this.#timer = setInterval(() => {
      const elapsedMs = Math.min(performance.now() - lastMs, LONGEST_TICK_MS);
      lastMs = performance.now();
      for (const each of due) {
        each.part += (elapsedMs / 1_000) * each.rate;
        for (; each.part >= 1; each.part--) void this.ask(each.kind);
      }
    }, TICK_MS);
  }

  /** The longest time in which this process itself was delayed. */
  get longestStallMs() {
    return this.#delay.max / 1e6;
  }

  /**
   * Sends one more request.
   * @param {Kind} kind
   * @param {{ seconds?: number, target?: string }} [how]
   */
  ask(kind, { seconds = 5, target = this.targets[this.#turn++ % this.targets.length] ?? "" } = {}) {
    const id = this.asked.length;
    const path = kind === "get" ? `/item/${id}` : kind === "post" ? `/echo/${id}` : `/slow/${seconds}/${id}`;
    const expected =
      kind === "get" ? `item ${id}` : kind === "post" ? POSTED : ".".repeat(seconds * PIECES_PER_SECOND);
    /** @type {Asked} */
    const asked = {
      id,
      kind,
      startMs: nowMs(),
      headMs: undefined,
      endMs: undefined,
      ownMs: kind === "slow" ? seconds * 1_000 : 0,
      failure: undefined,
    };
    this.asked.push(asked);
    const done = this.#send(asked, target, path, expected).then((failure) => {
      asked.endMs = nowMs();
      asked.failure = failure;
      this.#open.delete(done);
    });
    this.#open.add(done);
    return done;
  }

  /** Sends no more requests, and waits for the ones in progress. */
  async stop() {
    clearInterval(this.#timer);
    this.#delay.disable();
    while (this.#open.size > 0) await Promise.all(this.#open);
    this.#agent.destroy();
    return this.asked;
  }

  /**
   * @param {Asked} asked
   * @param {string} target
   * @param {string} path
   * @param {string} expected
   * @returns {Promise<string | undefined>} what went wrong
   */
  #send(asked, target, path, expected) {
    return new Promise((resolve) => {
      const [host, port] = target.split(":");
      const method = asked.kind === "post" ? "POST" : "GET";
      const body = asked.kind === "post" ? POSTED : "";
      const headers = { "x-piko-endpoint": "web", "content-length": body.length };
      const request = httpRequest({ host, port, path, method, headers, agent: this.#agent }, (response) => {
        asked.headMs = nowMs();
        let text = "";
        response.setEncoding("latin1").on("data", (piece) => (text += piece));
        response.on("error", (error) => settle(`cut: ${error.message}`));
        response.on("end", () => {
          if (response.statusCode !== 200) settle(`${response.statusCode} ${errorOf(text)}`);
          else settle(text === expected ? undefined : "a wrong body");
        });
      });
      const timer = setTimeout(() => {
        settle(`no answer in ${GIVE_UP_MS / 1_000} s`);
        request.destroy();
      }, GIVE_UP_MS);
      const settle = (/** @type {string | undefined} */ failure) => {
        clearTimeout(timer);
        resolve(failure);
      };
      request.on("error", (error) =>
        settle(/** @type {NodeJS.ErrnoException} */ (error).code ?? String(error)),
      );
      request.end(body);
    });
  }
}

/** @param {string} text of an answer that isn't the service's */
function errorOf(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return text.slice(0, 80);
  }
}
