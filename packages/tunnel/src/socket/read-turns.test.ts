import { createCertificates } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { connectLoopback, type Loopback } from "../../tests/loopback.js";
import type { ByteSocket } from "./byte-socket.js";

const KIB = 1024;
const files = createCertificates();
afterAll(() => files[Symbol.dispose]());
const tls = {
  server: { cert: files.read(files.serverCert), key: files.read(files.serverKey) },
  ca: files.read(files.caCert),
};

/** Counts event-loop turns until `stop`. */
function countTurns(): { readonly turn: number; stop(): void } {
  let turn = 0;
  let immediate: NodeJS.Immediate;
  const next = (): void => {
    turn++;
    immediate = setImmediate(next);
  };
  immediate = setImmediate(next);
  return {
    get turn() {
      return turn;
    },
    stop: () => clearImmediate(immediate),
  };
}

/** Bytes that the accepted end reads per turn of a long upload, most of which is there before it begins. */
async function readUpload(
  loopback: Loopback,
  onRead?: (far: ByteSocket, count: number) => void,
): Promise<number[]> {
  const { near, nearCalls, far, farCalls } = loopback;
  const upload = Buffer.alloc(6 * 1024 * KIB);
  const turns = countTurns();
  const perTurn: number[] = [];
  let received = 0;
  farCalls.onBytesDo = (_buffer, start, end) => {
    received += end - start;
    perTurn[turns.turn] = (perTurn[turns.turn] ?? 0) + end - start;
    onRead?.(far, end - start);
  };
  far.pause();
  near.out.write(upload, 0, upload.length);
  near.out.flush();
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  far.resume();
  await farCalls.when(() => received === upload.length);
  turns.stop();
  near.destroy();
  far.destroy();
  await Promise.all([nearCalls.closed(), farCalls.closed()]);
  return perTurn.filter((bytes) => bytes !== undefined);
}

describe("one turn reads", () => {
  it("at most 1 MiB, and 256 KiB until it is known to be bulk, although megabytes are available", async () => {
    const perTurn = await readUpload(await connectLoopback());
    expect(perTurn[0]).toBeLessThanOrEqual(256 * KIB);
    expect(Math.max(...perTurn)).toBeLessThanOrEqual((1024 + 256) * KIB);
  });

  it("a quarter of that from a less trusted peer, 64 KiB at a time", async () => {
    let longest = 0;
    const perTurn = await readUpload(await connectLoopback(undefined, "short"), (_far, count) => {
      longest = Math.max(longest, count);
    });
    expect(longest).toBe(64 * KIB);
    expect(perTurn[0]).toBeLessThanOrEqual(64 * KIB);
    expect(Math.max(...perTurn)).toBeLessThanOrEqual((256 + 64) * KIB);
  });

  it("in addition for TLS, what was already decrypted", async () => {
    // Node reads 64 KiB from the socket at a time. A turn that is used up stops that, but what was decrypted is still passed on.
    const perTurn = await readUpload(await connectLoopback(tls));
    expect(perTurn[0]).toBeLessThanOrEqual((256 + 64) * KIB);
    expect(Math.max(...perTurn)).toBeLessThanOrEqual((1024 + 64) * KIB);
  });

  it("16 KiB after one that was full of small messages, and more again as messages grow", async () => {
    let reads = 0;
    const perTurn = await readUpload(await connectLoopback(), (far, count) => {
      if (reads++ < 20) far.messages += count / 6;
    });
    const first = perTurn.indexOf(16 * KIB);
    expect(first).toBeGreaterThanOrEqual(0);
    expect(Math.max(...perTurn.slice(first, 20))).toBe(16 * KIB);
    expect(perTurn[20]).toBeLessThanOrEqual(64 * KIB);
    expect(Math.max(...perTurn.slice(20))).toBeGreaterThan(64 * KIB);
  });

  it("nothing while its reader pauses, in whatever order pauses and turns come", async () => {
    let paused = false;
    let whilePaused = 0;
    let reads = 0;
    await readUpload(await connectLoopback(), (far) => {
      if (paused) whilePaused++;
      far.pause();
      if (reads++ % 3 === 0) {
        // Within the read, whether or not its turn is used up: the next turn begins as usual.
        far.resume();
        return;
      }
      paused = true;
      const resume = (): void => {
        paused = false;
        far.resume();
      };
      if (reads % 3 === 1) setImmediate(resume);
      else setImmediate(() => setImmediate(resume));
    });
    expect(whilePaused).toBe(0);
  });

  it("no more than that of bytes that are dropped after a close", async () => {
    const { near, nearCalls, far, farCalls } = await connectLoopback();
    const upload = Buffer.alloc(2 * 1024 * KIB);
    far.pause();
    near.out.write(upload, 0, upload.length);
    near.out.flush();
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    const perTurn: number[] = [];
    let seen = 0;
    const watch = (): void => {
      const bytes = far.socket.bytesRead;
      if (bytes > seen) perTurn.push(bytes - seen);
      seen = bytes;
      if (!far.socket.destroyed) setImmediate(watch);
    };
    setImmediate(watch);
    near.end();
    far.close();
    await farCalls.closed();
    near.close();
    await nearCalls.closed();
    expect(perTurn[0]).toBeLessThanOrEqual(256 * KIB);
    expect(Math.max(...perTurn)).toBeLessThanOrEqual((1024 + 256) * KIB);
  });
});
