// WebSockets over HTTP/2 by extended CONNECT (RFC 8441): the service receives an HTTP/1.1 handshake, the client receives a 200,
// and then bytes pass both ways.

import { acceptKey } from "@piko/tunnel";
import { expect, it } from "vitest";
import {
  data,
  type Field,
  frame,
  GET_FIELDS,
  headers,
  RST_STREAM,
  SETTINGS,
  uint32,
} from "../../../test/h2-peer.js";
import { type H2Rig, h2Rigs } from "../../../test/h2-rigs.js";

const CONNECT: readonly Field[] = [
  [":method", "CONNECT"],
  [":protocol", "websocket"],
  ...GET_FIELDS.slice(1),
  ["sec-websocket-version", "13"],
];

const create = h2Rigs();

/** The key of the last handshake that was sent to the service. */
function keyOf(rig: H2Rig): string {
  return /sec-websocket-key: (\S+)\r\n/.exec(rig.node.stream.written)?.[1] ?? "";
}

const switching = (accept: string): string =>
  `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n` +
  "Sec-WebSocket-Protocol: chat\r\n\r\n";

/** Opens a WebSocket. */
function open(options = {}): H2Rig {
  const rig = create(options);
  rig.peer.send(headers(1, CONNECT, false));
  rig.node.stream.deliver(switching(acceptKey(keyOf(rig))));
  return rig;
}

it("is offered in the settings", () => {
  const [first] = create().peer.of(SETTINGS);
  expect(first?.payload).toContain(`\0\x08${uint32(1)}`);
});

it("opens with a 200, and passes bytes both ways", () => {
  const rig = open();
  expect(rig.node.stream.written).toMatch(
    /^GET \/x HTTP\/1\.1\r\n.*Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n$/s,
  );
  expect(rig.peer.answer(1).heads).toEqual([{ ":status": "200", "sec-websocket-protocol": "chat" }]);
  rig.peer.send(data(1, "to service"));
  expect(rig.node.stream.written.endsWith("\r\n\r\nto service")).toBe(true);
  rig.node.stream.deliver("to client");
  for (let minute = 0; minute < 20; minute++) rig.node.clock.advance(60_000);
  rig.node.stream.deliver(", later");
  expect(rig.peer.answer(1)).toMatchObject({ body: "to client, later", ended: false, reset: undefined });
  expect(rig.node.hits).toEqual([]);
});

it("keeps data that its client sends too early until it is open", () => {
  const rig = create();
  rig.peer.send(headers(1, CONNECT, false), data(1, "early"));
  expect(rig.node.stream.written.endsWith("\r\n\r\n")).toBe(true);
  rig.node.stream.deliver(switching(acceptKey(keyOf(rig))));
  expect(rig.node.stream.written.endsWith("\r\n\r\nearly")).toBe(true);
});

it("passes on an end that came too early once it is open", () => {
  const rig = create();
  rig.peer.send(headers(1, CONNECT, false), data(1, "early", true));
  expect(rig.node.stream.calls).toEqual([]);
  rig.node.stream.deliver(switching(acceptKey(keyOf(rig))));
  expect(rig.node.stream.written.endsWith("\r\n\r\nearly")).toBe(true);
  expect(rig.node.stream.calls).toEqual(["end"]);
  rig.node.stream.deliver("late");
  expect(rig.peer.answer(1)).toMatchObject({ body: "late", ended: false });
});

it("ends each direction by itself, and is over when both have ended", () => {
  const rig = open();
  rig.peer.send(data(1, "bye", true));
  expect(rig.node.stream.calls).toEqual(["end"]);
  rig.node.stream.deliver("bye, too");
  rig.node.stream.handler.onEnd();
  expect(rig.peer.answer(1)).toMatchObject({ body: "bye, too", ended: true, reset: undefined });
  const other = open();
  other.node.stream.handler.onEnd();
  expect(other.peer.answer(1)).toMatchObject({ ended: true, reset: undefined });
  other.peer.send(data(1, "still there", true));
  expect(other.node.stream.written.endsWith("still there")).toBe(true);
  for (const { node } of [rig, other]) expect(node.statuses).toEqual({ "101": 1 });
});

it("is cut on one side when it is cut on the other", () => {
  const rig = open();
  rig.peer.send(frame(RST_STREAM, 0, 1, uint32(8)));
  expect(rig.node.stream.calls).toEqual(["reset"]);
  const other = open();
  other.node.stream.handler.onReset();
  expect(other.peer.answer(1).reset).toBe(8);
});

it("isn't opened by a wrong accept key, by another 2xx, or for a request that has ended", () => {
  const wrong = create();
  wrong.peer.send(headers(1, CONNECT, false));
  wrong.node.stream.deliver(switching(acceptKey("AAAAAAAAAAAAAAAAAAAAAA==")));
  expect(wrong.peer.answer(1)).toMatchObject({ heads: [], reset: 2 });
  expect(wrong.node.stream.calls).toEqual(["reset"]);
  const page = create();
  page.peer.send(headers(1, CONNECT, false));
  page.node.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage");
  expect(page.peer.answer(1)).toMatchObject({ status: "502", ended: true });
  expect(page.peer.answer(1).body).not.toContain("page");
  const refused = create();
  refused.peer.send(headers(1, CONNECT, false));
  refused.node.stream.deliver("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
  expect(refused.peer.answer(1)).toMatchObject({ status: "403", body: "no", ended: true });
  const ended = create();
  ended.peer.send(headers(1, CONNECT, true));
  expect(ended.peer.answer(1).reset).toBe(1);
  expect(ended.node.asked).toBe(0);
});

it("can't dial a TCP tunnel, which needs a connection of its own", () => {
  const rig = create();
  const fields = CONNECT.map((field): Field => (field[0] === ":path" ? [":path", "/_piko/v1/tcp/e"] : field));
  rig.peer.send(headers(1, fields, false));
  expect(rig.peer.answer(1).status).toBe("426");
});
