// gRPC over HTTP/2: which timeouts don't apply to it, and how errors are reported to its clients. The same requests over
// HTTP/1.1 keep all timeouts, unless they come from another node.

import { describe, expect, it } from "vitest";
import { data, type Field, headers, POST_FIELDS } from "../../../test/h2-peer.js";
import { h2Rigs } from "../../../test/h2-rigs.js";
import { nodeRigs } from "../../../test/node-rigs.js";

const GRPC: readonly Field[] = [
  ...POST_FIELDS,
  ["content-type", "application/grpc+proto"],
  ["te", "trailers"],
];
const RESPONSE =
  "HTTP/1.1 200 OK\r\nContent-Type: application/grpc+proto\r\nTransfer-Encoding: chunked\r\n\r\n";
const H1 =
  "POST /x HTTP/1.1\r\nHost: e.test\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n";

const create = h2Rigs();
const createH1 = nodeRigs();

const errorHead = (
  status: string,
  message: string,
  reason: string,
  type = "application/grpc+proto",
): Record<string, string> => ({
  ":status": "200",
  "content-type": type,
  "grpc-status": status,
  "grpc-message": message,
  "content-length": "0",
  "x-piko-reason": reason,
  date: "now",
});

describe("gRPC", () => {
  it("gets the proxy's own responses as a head alone", () => {
    const rig = create();
    rig.peer.send(headers(1, [...GRPC, ["x-piko-endpoint", "other"]], false));
    expect(rig.peer.answer(1).heads).toEqual([errorHead("14", "no available upstreams", "no_upstream")]);
    rig.peer.send(headers(5, [...GRPC, ["x-piko-endpoint", "e".repeat(300)]]));
    expect(rig.peer.answer(5).heads[0]).toMatchObject({ ":status": "200", "grpc-status": "13" });
    expect([rig.peer.answer(1).body, rig.peer.answer(1).ended]).toEqual(["", true]);
    expect(rig.node.statuses).toMatchObject({ "502": 1, "400": 1 });
  });

  it("gets the service's responses unchanged", () => {
    const rig = create();
    rig.peer.send(headers(1, GRPC));
    rig.node.stream.deliver(
      "HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\nGrpc-Status: 5\r\nContent-Length: 0\r\n\r\n",
    );
    const answer = rig.peer.answer(1);
    expect(answer.heads).toHaveLength(1);
    expect([answer.heads[0]?.["grpc-status"], answer.ended]).toEqual(["5", true]);
  });

  it("may be silent for any time, before its response and within its request", () => {
    const rig = create();
    rig.peer.send(headers(1, GRPC, false), data(1, "abc"));
    for (let minute = 0; minute < 20; minute++) rig.node.clock.advance(60_000);
    rig.node.stream.deliver(RESPONSE);
    for (let minute = 0; minute < 20; minute++) rig.node.clock.advance(60_000);
    rig.peer.send(data(1, "def", true));
    rig.node.stream.deliver("3\r\nxyz\r\n0\r\ngrpc-status: 0\r\n\r\n");
    expect(rig.node.stream.written).toContain("3\r\ndef\r\n0\r\n\r\n");
    const answer = rig.peer.answer(1);
    expect([answer.body, answer.heads.at(-1)]).toEqual(["xyz", { "grpc-status": "0" }]);
    expect(rig.node.hits).toEqual([]);
  });

  it("ends at its client's deadline, also for the service", () => {
    const rig = create();
    const waitsIndefinitely: readonly Field[] = [...GRPC, ["grpc-timeout", "2S"]];
    rig.peer.send(headers(1, waitsIndefinitely), headers(3, waitsIndefinitely, false), headers(5, GRPC));
    rig.node.tunnel.streams[1]?.deliver(`${RESPONSE}3\r\nabc\r\n`);
    rig.node.clock.advance(1_500);
    expect([1, 3].map((id) => rig.peer.answer(id).ended)).toEqual([false, false]);
    rig.node.clock.advance(1_000);
    expect(rig.peer.answer(1).heads).toEqual([errorHead("4", "deadline exceeded", "deadline")]);
    const cut = rig.peer.answer(3);
    expect([cut.body, cut.heads.at(-1), cut.ended, cut.reset]).toEqual([
      "abc",
      { "grpc-status": "4", "grpc-message": "deadline exceeded" },
      true,
      0,
    ]);
    expect(rig.node.tunnel.streams.map(({ calls }) => calls)).toEqual([["reset"], ["reset"], []]);
    expect(rig.node.statuses).toEqual({ "504": 1, "200": 1 });
  });

  it("gets gRPC's own status if its response is cut", () => {
    const rig = create();
    rig.peer.send(headers(1, GRPC), headers(3, GRPC));
    const [first, second] = rig.node.tunnel.streams;
    first?.deliver(`${RESPONSE}3\r\nabc\r\n`);
    first?.handler.onReset();
    const answer = rig.peer.answer(1);
    expect([answer.body, answer.heads.at(-1), answer.ended]).toEqual([
      "abc",
      { "grpc-status": "14", "grpc-message": "upstream reset the request" },
      true,
    ]);
    // A response of another content type is just cut.
    second?.deliver(
      "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    );
    second?.handler.onReset();
    expect(rig.peer.answer(3)).toMatchObject({ ended: false, reset: 2 });
  });

  it("of other content types keeps HTTP's form and timeouts", () => {
    const rig = create();
    rig.peer.send(headers(1, [...POST_FIELDS, ["content-type", "application/grpc-web+proto"]]));
    rig.node.clock.advance(31_000);
    expect(rig.peer.answer(1).heads).toEqual([
      errorHead("14", "upstream timeout", "timeout", "application/grpc-web+proto"),
    ]);
    rig.peer.send(headers(3, [...POST_FIELDS, ["content-type", "application/json"]]));
    rig.node.clock.advance(31_000);
    expect(rig.peer.answer(3).status).toBe("504");
  });
});

describe("gRPC over HTTP/1.1", () => {
  it("gets errors in gRPC's form, and keeps the timeouts", () => {
    const rig = createH1();
    rig.socket.send(`${H1}\r\n`);
    rig.clock.advance(11_000);
    expect(rig.socket.take()).toMatch(
      /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/grpc\r\ngrpc-status: 2\r\n/,
    );
    expect(rig.hits).toEqual(["read_timeout"]);
  });

  it("from another node has no timeouts here", () => {
    const nodes = (): { proxyAddr: string }[] => [{ proxyAddr: "192.0.2.1:8000" }];
    const cluster = { table: { nodes } } as never;
    const rig = createH1({ dependencies: { cluster } });
    rig.socket.send(`${H1}x-piko-forward: true\r\n\r\n`);
    for (let minute = 0; minute < 20; minute++) rig.clock.advance(60_000);
    expect(rig.socket.take()).toBe("");
    rig.socket.send("0\r\n\r\n");
    for (let minute = 0; minute < 20; minute++) rig.clock.advance(60_000);
    rig.stream.deliver(RESPONSE);
    expect(rig.socket.take()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(rig.hits).toEqual([]);
    // The next request of the connection has the usual timeouts.
    rig.stream.deliver("0\r\n\r\n");
    rig.socket.send("POST /x HTTP/1.1\r\nHost: e.test\r\nContent-Length: 4\r\n\r\n");
    rig.clock.advance(11_000);
    expect(rig.hits).toEqual(["read_timeout"]);
  });
});
