// Services that answer and close before they have read everything that was sent to them: the answer arrives although the rest
// of the request can't be delivered. Each upload is a race between the answer and the failing write, so there are many.

import type { Socket } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import { startCluster, untilEndpoints } from "../harness/cluster.js";
import { listenBySdk } from "../harness/connection-ways.js";
import { type RunningServer, startAgent, startForward } from "../harness/piko.js";
import { RawClient } from "../harness/raw-client.js";
import { startRawService } from "../harness/raw-service.js";
import { perFile, perTest } from "../harness/stage.js";

const stage = perFile();
const scene = perTest();
const UPLOAD = "x".repeat(1_000_000);
const TIMES = 60;
let near: RunningServer;
let far: RunningServer;

beforeAll(async () => {
  [near, far] = await startCluster(stage, ["a", "b"]);
});

/** A service that reads only the first bytes; it closes with the rest unread, which makes the kernel send a reset. */
async function startHasty(answer: string): Promise<string> {
  const { addr } = await startRawService(scene, (socket: Socket) => {
    socket.once("data", () => {
      socket.pause();
      socket.write(answer, () => socket.destroy());
    });
  });
  return addr;
}

describe("an answer before the end of its request", () => {
  it.each(["here", "over a hop"])("with status 413 arrives: %s", async (where) => {
    const answer = "HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge";
    await startAgent(scene, near.upstream, "hasty", await startHasty(answer));
    await untilEndpoints(far, "a", 1);
    const { proxy } = where === "here" ? near : far;
    const answers = new Map<string, number>();
    for (let i = 0; i < TIMES; i++) {
      const client = await RawClient.connect(scene, proxy);
      client.send(
        `POST / HTTP/1.1\r\nHost: h\r\nx-piko-endpoint: hasty\r\nContent-Length: ${UPLOAD.length}\r\n\r\n${UPLOAD}`,
      );
      const { body, status } = await client.response();
      const text = `${status} ${body.toString()}`;
      answers.set(text, (answers.get(text) ?? 0) + 1);
    }
    expect([...answers]).toEqual([["413 large", TIMES]]);
  });

  it.each([
    ["here", "an agent"],
    ["over a hop", "an agent"],
    ["here", "the SDK"],
  ])("from an SMTP server arrives: %s, through %s", async (where, by) => {
    const service = await startHasty("554 no\r\n");
    if (by === "the SDK") await listenBySdk(scene, near.upstream, "smtp", service);
    else await startAgent(scene, near.upstream, "smtp", service, { mode: "tcp" });
    await untilEndpoints(far, "a", 1);
    const { proxy } = where === "here" ? near : far;
    const { addr } = await startForward(scene, proxy, "smtp");
    for (let i = 0; i < TIMES; i++) {
      const client = await RawClient.connect(scene, addr);
      client.send(UPLOAD);
      expect((await client.take(8)).toString()).toBe("554 no\r\n");
    }
  });
});
