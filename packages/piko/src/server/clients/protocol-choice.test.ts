// A connection without TLS, in memory, from its first byte: whether it is read as HTTP/2 or HTTP/1.1, however the bytes are
// split, and how long it may be silent.

import { describe, expect, it } from "vitest";
import { eventually } from "../../../test/port-peer.js";
import {
  ACK,
  DATA,
  frame,
  framesOf,
  GET_FIELDS,
  HEADERS,
  headers,
  PREFACE,
  SETTINGS,
  WINDOW_UPDATE,
} from "../../../test/h2-peer.js";
import { MemorySocket } from "../../../test/memory-socket.js";
import { GET, nodeRigs, statusOf } from "../../../test/node-rigs.js";
import type { NodeRig, NodeRigOptions } from "../../../test/node-rig.js";
import { ProxyPort } from "./proxy-port.js";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const create = nodeRigs();

/** A client's connection to a port. */
function connect(options: NodeRigOptions = {}): { node: NodeRig; port: ProxyPort; socket: MemorySocket } {
  const node = create(options);
  node.close();
  const port = new ProxyPort(node.context);
  const socket = new MemorySocket();
  port.onClient(socket.asSocket(), "192.0.2.1");
  return { node, port, socket };
}

/** The socket closes, and nothing of the connection is left. */
function leave({ port, socket }: ReturnType<typeof connect>): void {
  socket.handler?.onClose(undefined);
  expect([port.connectionCount, port.highestClientCount]).toEqual([0, 0]);
}

describe("a connection without TLS", () => {
  it("is HTTP/2 if it begins with the preface, split anywhere", () => {
    const bytes = PREFACE + frame(SETTINGS, 0, 0) + headers(1, GET_FIELDS);
    for (let cut = 1; cut <= PREFACE.length + 1; cut++) {
      const scene = connect();
      const { node, socket } = scene;
      socket.send(bytes, cut);
      expect(node.stream.written).toMatch(/^GET \/x HTTP\/1\.1\r\n/);
      node.stream.deliver(OK);
      expect(framesOf(socket.take())).toMatchObject([
        { type: SETTINGS },
        { type: WINDOW_UPDATE },
        { type: SETTINGS, flags: ACK },
        { type: HEADERS },
        { type: DATA, payload: "ok" },
      ]);
      leave(scene);
    }
  });

  it.each([
    ["another method", GET, "200"],
    ["a method that begins like the preface", GET.replace("GET", "PROPFIND"), "200"],
    ["the preface's own method", GET.replace("GET", "PRI"), "200"],
    ["a preface with another end", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", "400"],
  ])("is HTTP/1.1 with %s, split anywhere", (_title, bytes, status) => {
    for (let cut = 1; cut < bytes.length; cut++) {
      const scene = connect();
      const { node, socket } = scene;
      socket.send(bytes, cut);
      if (status === "200") {
        const [line] = bytes.split("\r\n");
        expect(node.stream.written.startsWith(`${line}\r\n`)).toBe(true);
        node.stream.deliver(OK);
      } else expect(node.asked).toBe(0);
      expect(statusOf(socket.take())).toBe(status);
      leave(scene);
    }
  });

  it("is always HTTP/1.1 if HTTP/2 is off", () => {
    const { context } = create();
    const scene = connect({ settings: { http2: { ...context.config.http2, enabled: false } } });
    scene.socket.send(PREFACE);
    expect(statusOf(scene.socket.take())).toBe("400");
    leave(scene);
  });

  it.each([
    ["nothing", ""],
    ["half of a preface", PREFACE.slice(0, 12)],
  ])("that sends %s is ended after the timeout for a head", (_title, bytes) => {
    const scene = connect({ http: { readHeaderTimeoutMs: 10_000 } });
    scene.socket.send(bytes);
    scene.node.clock.advance(9_000);
    expect(scene.socket.calls).toEqual([]);
    scene.node.clock.advance(1_250);
    expect(scene.socket.calls[0]).toBe("destroy");
    leave(scene);
  });

  it("ends when its client or the port ends", async () => {
    const ended = connect();
    ended.socket.handler?.onEnd();
    expect(ended.socket.calls).toEqual(["close"]);
    leave(ended);
    const silent = connect();
    const drained = silent.port.drain();
    await eventually(() => silent.socket.calls.length > 0);
    expect(silent.socket.calls).toEqual(["close"]);
    leave(silent);
    await drained;
  });
});
