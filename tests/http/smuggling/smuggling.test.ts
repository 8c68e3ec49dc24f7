// The corpus over the wire: the real server and agent, a client that sends exactly the bytes of a case, and a service that
// records exactly what reaches it. Every case is sent in one piece, byte by byte, and in random pieces.

import { SeededRandom } from "@piko/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { eventually, within } from "../../harness/deadline.js";
import { startTunnel, type Tunnel } from "../../harness/piko.js";
import { RawClient } from "../../harness/raw-client.js";
import { parseResponse } from "../../harness/raw-response.js";
import { perFile, Stage } from "../../harness/stage.js";
import { type Outcome, readCases, type SmugglingCase } from "./corpus.js";
import { inOneChunk, withoutForwardedFields } from "./reached.js";
import { Recorder, type Split } from "./recorder.js";

const RANDOM_SPLITS = 3;
/** Larger cases aren't sent byte by byte. */
const MAX_BYTEWISE = 600;

const stage = perFile();
let recorder: Recorder;
let tunnel: Tunnel;
let questions = 0;

beforeAll(async () => {
  recorder = await Recorder.start(stage);
  tunnel = await startTunnel(stage, recorder.addr);
});

describe.each(["requests.txt", "chunks.txt", "responses.txt"])("%s", (file) => {
  it.each(readCases(file))("$title", async (smuggling) => {
    const { sent, answer } = smuggling;
    const seed = sent.length + (answer?.bytes.length ?? 0);
    await attempt(smuggling, (bytes) => [bytes]);
    if (answer?.whole === true) return;
    if (seed <= MAX_BYTEWISE)
      await attempt(smuggling, (bytes) => Array.from(bytes, (byte) => Buffer.from([byte])));
    for (let i = 0; i < RANDOM_SPLITS; i++) {
      const random = new SeededRandom(seed * 31 + i);
      const longest = Math.max(2, Math.ceil(seed / random.int(2, 12)));
      await attempt(smuggling, (bytes) => random.split(bytes, longest));
    }
  });
});

async function attempt(smuggling: SmugglingCase, split: Split): Promise<void> {
  const scene = new Stage();
  recorder.reset(smuggling.answer, split);
  try {
    const client = await RawClient.connect(scene, tunnel.server.proxy);
    await send(client, smuggling.answer === undefined ? split(smuggling.sent) : [smuggling.sent]);
    const { fate, received } = await within(observe(client, smuggling.outcomes), "expected outcome").catch(
      (error: unknown) => {
        throw new Error(
          `${String(error)}; got ${JSON.stringify(latin1(client.buffer))}, ended: ${client.ended}`,
        );
      },
    );
    if (smuggling.received !== undefined) expect(withoutDates(received)).toBe(latin1(smuggling.received));
    if (smuggling.answer?.dropped === true) await recorder.dropped();
    if (fate === "open") await ask(client, "next");
    if (fate === "raw") await passBytes(client);
  } finally {
    await scene.clear();
  }
  await serveAnother();
  await eventually(() => recorder.partial.length === 0, "end of the request's rest at the service");
  expect(recorder.violations).toEqual([]);
  const { answer, reaches } = smuggling;
  const reached = recorder.requests.map(withoutForwardedFields);
  if (reaches !== undefined) expect(inOneChunk(reached.join(""))).toBe(inOneChunk(latin1(reaches)));
  else if (answer === undefined || answer.early) expect(reached).toEqual([]);
}

/** Sends the pieces, each in a turn of its own, until the server has received enough. */
async function send(client: RawClient, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    if (client.ended || !client.socket.writable) return;
    await new Promise<void>((resolve) => client.socket.write(piece, () => setImmediate(resolve)));
  }
}

interface Observed {
  readonly fate: Outcome["fate"];
  readonly received: Buffer;
}

/** Waits until one of the outcomes has occurred. */
async function observe(client: RawClient, outcomes: readonly Outcome[]): Promise<Observed> {
  for (;;) {
    const { ended } = client;
    for (const outcome of outcomes) {
      if (!isReached(client, outcome)) continue;
      if (outcome.fate === "waits") {
        await serveAnother();
        if (!isReached(client, outcome)) continue;
      }
      const received = client.buffer;
      client.buffer = Buffer.alloc(0);
      return { fate: outcome.fate, received };
    }
    if (ended) throw new Error("another outcome");
    if (!client.ended) await change(client);
  }
}

function isReached(client: RawClient, { answers, fate }: Outcome): boolean {
  if ((fate === "close" || fate === "cut") !== client.ended) return false;
  const whole = fate === "cut" ? answers.slice(0, -1) : answers;
  let rest = client.buffer;
  for (const { method, status } of whole) {
    const response = parseResponse(rest, method, false);
    if (response?.status !== status) return false;
    rest = rest.subarray(response.bytes);
  }
  if (fate !== "cut") return rest.length === 0;
  const last = answers.at(-1);
  if (last === undefined || !latin1(rest).startsWith(`HTTP/1.1 ${last.status} `)) return false;
  return parseResponse(rest, last.method, false) === undefined;
}

/** Resolves when more bytes or the end have arrived. */
function change(client: RawClient): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      client.socket.off("data", done);
      resolve();
    };
    client.socket.on("data", done);
    void client.end.then(done);
  });
}

/** Checks that a client's next request gets its own answer. */
async function ask(client: RawClient, what: "next" | "probe"): Promise<void> {
  const target = `/${what}/${++questions}`;
  client.send(`GET ${target} HTTP/1.1\r\nHost: web.test\r\n\r\n`);
  expect((await client.response()).body.toString()).toBe(target);
  expect(client.buffer.length).toBe(0);
}

async function serveAnother(): Promise<void> {
  const scene = new Stage();
  try {
    await ask(await RawClient.connect(scene, tunnel.server.proxy), "probe");
  } finally {
    await scene.clear();
  }
}

/** Checks that an upgraded connection transfers bytes unchanged. */
async function passBytes(client: RawClient): Promise<void> {
  const text = "GET /evil HTTP/1.1\r\n\r\n\0\xff";
  client.send(text);
  await eventually(() => recorder.raw === text, "bytes after the 101");
}

function withoutDates(bytes: Buffer): string {
  return latin1(bytes).replace(/^Date: [^\r]*\r\n/gm, "");
}

function latin1(bytes: Buffer): string {
  return bytes.toString("latin1");
}
