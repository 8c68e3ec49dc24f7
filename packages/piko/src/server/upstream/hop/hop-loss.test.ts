// Hops that are lost: whether the node may have seen the request, whether the node has failed, and whether the connection is
// kept.

import type { Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { REASONS } from "../../../http/reasons.js";
import type { Seen } from "../../../http/exchange/upstream-call.js";
import { cleanUpHops, setUpHop } from "../../../../test/hop-rig.js";
import { eventually } from "../../../../test/port-peer.js";

const GET = "GET /x HTTP/1.1\r\nHost: web\r\n\r\n";
const HOP_GET = "GET /x HTTP/1.1\r\nHost: web\r\nx-piko-forward: true\r\n\r\n";
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

afterEach(cleanUpHops);

describe("a loss", () => {
  it("is a refusal if the node can't be connected to", async () => {
    const { node, peer, send } = await setUpHop();
    await peer.close();
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["no"]);
    expect(node.failures).toBe(1);
  });

  it("is a refusal if the node doesn't accept in time", async () => {
    const { clock, node, send } = await setUpHop();
    const recorder = send("POST / HTTP/1.1\r\nHost: web\r\n\r\n");
    clock.advance(2_000);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["no"]);
    expect(node.failures).toBe(1);
  });

  it("is the node's failure if a new connection ends without a response", async () => {
    const { node, send } = await setUpHop((socket) => void socket.resetAndDestroy());
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["maybe"]);
    expect(node.failures).toBe(1);
  });

  it("of a kept connection without a response isn't the node's failure, and closes the other kept ones", async () => {
    let requests = 0;
    const { node, pool, send } = await setUpHop((socket) => {
      requests++;
      if (requests > 2) socket.resetAndDestroy();
      else socket.write(OK);
    });
    const both = [send(GET), send(GET)];
    for (const each of both) {
      await each.until(() => each.whole);
      each.call.release();
    }
    expect(pool.idleCount).toBe(2);
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect(recorder.events).toEqual(["stale"]);
    expect([node.failures, pool.idleCount]).toEqual([0, 0]);
  });

  it("after the first byte of the response isn't the node's failure", async () => {
    const { node, peer, send } = await setUpHop(
      (socket) => void socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
    );
    const recorder = send(GET);
    await recorder.until(() => recorder.text.endsWith("x"));
    peer.connections[0]?.end();
    await recorder.until(() => recorder.events.length > 0);
    expect([node.failures, recorder.events, recorder.whole]).toEqual([0, ["answered"], false]);
  });

  it("by a response that sends the request elsewhere isn't the node's failure", async () => {
    const rerouting = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nx-piko-reroute: true\r\n\r\n";
    const { node, send } = await setUpHop((socket) => void socket.write(rerouting));
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect([node.failures, recorder.events, recorder.text]).toEqual([0, ["no"], ""]);
  });

  it.each([
    ["EMFILE", 0],
    ["ENFILE", 0],
    ["EADDRNOTAVAIL", 0],
    ["ECONNREFUSED", 1],
  ])("for lack of this system's own resources isn't the node's failure (%s)", async (code, failures) => {
    const { node, send } = await setUpHop(() => {});
    const recorder = send(GET);
    recorder.call.onClose(Object.assign(new Error(`connect ${code}`), { code }));
    expect([recorder.events, node.failures]).toEqual([["no"], failures]);
  });

  it("isn't reported if the request was aborted", async () => {
    const { node, peer, send } = await setUpHop(() => {});
    const recorder = send(GET);
    recorder.call.abort(REASONS.client_gone);
    expect(node.failures).toBe(0);
    expect(recorder.events).toEqual([]);
    expect(peer.received.join("")).toBe("");
  });

  it.each([
    ["true", "gone"],
    ["elsewhere", "elsewhere"],
  ] as const)("reports why the request was sent back: %s", async (value, why) => {
    const rerouting = `HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nx-piko-reroute: ${value}\r\n\r\n`;
    const { pool, send } = await setUpHop((socket) => void socket.write(rerouting));
    const recorder = send(GET);
    await recorder.until(() => recorder.events.length > 0);
    expect([recorder.events, recorder.call.rerouted]).toEqual([["no"], why]);
    recorder.call.open(pool, false);
    expect(recorder.call.rerouted).toBe("no");
  });

  it("isn't caused by gossip that considers the node unreachable: requests in progress continue", async () => {
    const { pool, request, send } = await setUpHop((socket, text) => {
      if (!text.includes("/hang")) socket.write(OK);
    });
    await request(GET);
    expect(pool.idleCount).toBe(1);
    const hanging = send(GET.replace("/x", "/hang"));
    pool.onUnreachable();
    expect([hanging.events, pool.idleCount]).toEqual([[], 0]);
  });

  it("is caused by giving up a request that can go elsewhere, and isn't the node's failure", async () => {
    const { node, peer, send } = await setUpHop(() => {});
    const early = send(GET);
    expect(early.call.seen).toBe("no");
    early.call.giveUp();
    const late = send(GET);
    await eventually(() => peer.received.join("") !== "");
    expect(late.call.seen).toBe("maybe");
    late.call.giveUp();
    expect([early.events, late.events, node.failures]).toEqual([["no"], ["maybe"], 0]);
  });

  const PART = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx";
  it.each<[title: string, answer: string, end: (socket: Socket) => void, why: string, seen: Seen]>([
    ["an end before the answer", "", (socket) => socket.end(), "lost", "maybe"],
    ["a reset before the answer", "", (socket) => socket.resetAndDestroy(), "reset", "maybe"],
    ["an end within the head", "HTTP/1.1 2", (socket) => socket.end(), "lost", "answered"],
    ["a reset within the head", "HTTP/1.1 2", (socket) => socket.resetAndDestroy(), "reset", "answered"],
    ["an end within the body", PART, (socket) => socket.end(), "cut", "answered"],
    ["a reset within the body", PART, (socket) => socket.resetAndDestroy(), "cut", "answered"],
    ["an answer that isn't HTTP", "nonsense\r\n\r\n", () => {}, "bad_response", "answered"],
    [
      "an endless head",
      `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}`,
      () => {},
      "head_too_large",
      "answered",
    ],
  ])("by %s is reported once, and its connection isn't reused", async (_title, answer, end, why, seen) => {
    const { node, peer, pool, send } = await setUpHop((socket) => void socket.write(answer));
    const recorder = send(GET);
    await eventually(() => peer.received[0] === HOP_GET);
    if (answer !== "") await eventually(() => recorder.text.endsWith("x") || !answer.startsWith(PART));
    end(peer.connections[0] as Socket);
    await recorder.until(() => recorder.events.length > 0);
    expect([recorder.why, recorder.events]).toEqual([why, [seen]]);
    expect([pool.idleCount, node.failures]).toEqual([0, seen === "maybe" ? 1 : 0]);
    // Later calls of the exchange have no effect.
    recorder.call.write(Buffer.from("x"), 0, 1);
    recorder.call.end(undefined);
    recorder.call.consume(1);
    recorder.call.release();
    recorder.call.abort(REASONS.client_gone);
    expect(recorder.events).toEqual([seen]);
  });
});
