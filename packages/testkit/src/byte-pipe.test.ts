import { once } from "node:events";
import type { Duplex } from "node:stream";
import { describe, expect, it } from "vitest";
import { createBytePipe } from "./byte-pipe.js";
import { SeededRandom } from "./seeded-random.js";

/** Reads a stream to its end. Unlike an async iteration, it leaves the stream's other direction open. */
async function readAll(stream: Duplex): Promise<string> {
  let all = "";
  stream.on("data", (piece: Buffer) => {
    all += piece.toString();
  });
  await once(stream, "end");
  return all;
}

describe("createBytePipe", () => {
  it("carries bytes both ways and half-closes", async () => {
    const { near, far } = createBytePipe();
    near.end("ping");
    expect(await readAll(far)).toBe("ping");
    far.end("pong");
    expect(await readAll(near)).toBe("pong");
  });

  it("keeps order when it cuts writes into random pieces", async () => {
    const random = new SeededRandom(5);
    const { near, far } = createBytePipe({ random, longestPiece: 5, highWaterMark: 16 });
    const sent = random.bytes(5_000);
    near.end(sent);
    const received: Buffer[] = [];
    far.on("data", (piece: Buffer) => received.push(piece));
    await once(far, "end");
    expect(Buffer.concat(received)).toEqual(sent);
    expect(received.length).toBeGreaterThan(200);
  });

  it("makes the writer wait while no one reads", async () => {
    const { near, far } = createBytePipe({ highWaterMark: 1024 });
    let written = 0;
    const block = Buffer.alloc(1024);
    for (let i = 0; i < 10; i++) near.write(block, () => written++);
    await new Promise((resolve) => setImmediate(resolve));
    expect(written).toBeLessThan(3);
    far.resume();
    await new Promise<void>((resolve) => near.write(block, () => resolve()));
    expect(written).toBe(10);
  });

  it("resets the peer when one end is destroyed with an error", async () => {
    const { near, far } = createBytePipe();
    near.on("error", () => {});
    const failed = new Promise<Error>((resolve) => far.once("error", resolve));
    near.destroy(new Error("gone"));
    expect((await failed).message).toBe("read ECONNRESET");
  });
});
