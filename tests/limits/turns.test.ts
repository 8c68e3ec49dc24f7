// One connection sends an endless stream of cheap messages: others get their turns in between.

import { describe, expect, it } from "vitest";
import { eventually } from "../harness/deadline.js";
import { ask, GET, HOST, limitRig } from "./limit-rig.js";
import { openTunnel } from "../harness/wire.js";

const rig = limitRig();

/** Counts the occurrences of a text in what the connection receives, and keeps nothing else. */
function counter(
  client: { socket: { on(event: "data", listener: (bytes: Buffer) => void): unknown } },
  text: string,
) {
  let count = 0;
  let rest = "";
  client.socket.on("data", (bytes) => {
    const parts = (rest + bytes.toString("latin1")).split(text);
    count += parts.length - 1;
    rest = (parts.at(-1) ?? "").slice(1 - text.length);
  });
  return () => count;
}

describe("a request is answered soon, although another connection", () => {
  it("has sent 60,000 requests at once", async () => {
    const server = await rig.start({ "proxy.access-log.disable": "true" });
    const count = 60_000;
    const other = await rig.connect(server);
    const flood = await rig.connect(server);
    const answered = counter(flood, "HTTP/1.1 200");
    flood.send(`OPTIONS * HTTP/1.1\r\n${HOST}\r\n`.repeat(count));
    await eventually(() => answered() > 0, "the first answers");
    expect((await ask(other, GET)).status).toBe(200);
    expect(answered()).toBeLessThan(count / 2);
    await eventually(() => answered() === count, "all answers");
  });

  it("has sent 400,000 pings into a tunnel, of which each turn answers only the latest", async () => {
    const server = await rig.start({ "proxy.access-log.disable": "true" });
    const other = await rig.connect(server);
    const tunnel = await openTunnel(rig.scene, server.upstream, "flood");
    const pongs = counter(tunnel, "\u008a\0");
    // Empty pings with a mask of zero; the last one carries a text by which its pong is recognized.
    const ping = Buffer.from([0x89, 0x80, 0, 0, 0, 0]);
    tunnel.socket.write(Buffer.alloc(400_000 * ping.length, ping));
    const last = counter(tunnel, "last!");
    tunnel.socket.write(Buffer.concat([Buffer.from([0x89, 0x85, 0, 0, 0, 0]), Buffer.from("last!")]));
    await eventually(() => pongs() > 0, "the first pong");
    expect((await ask(other, GET)).status).toBe(200);
    expect(last()).toBe(0);
    await eventually(() => last() === 1, "the last pong");
    expect(pongs()).toBeLessThan(10_000);
  });
});
