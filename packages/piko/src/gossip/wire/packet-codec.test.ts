// Packets and messages as bytes: vectors from Go Piko's encoder, truncated and damaged at every position.

import { describe, expect, it } from "vitest";
import { type MessageEnd, joinAnswerEnd, leaveAnswerEnd, requestEnd } from "./message-end.js";
import { type Entry, MESSAGE_DIGEST, MESSAGE_JOIN, type NodeDelta, type Packet } from "./messages.js";
import { MsgpackWriter } from "./msgpack-writer.js";
import { decodePacket, writeDeltaHead, writeDigestHead, writePacketNode } from "./packet-codec.js";
import {
  JoinAnswerReader,
  RequestReader,
  decodeLeaveAnswer,
  encodeJoinAnswer,
  encodeJoinRequest,
  encodeLeaveAnswer,
  encodeLeaveRequest,
} from "./stream-codec.js";
import { writeDigestEntry, writeEntry } from "./struct-codec.js";
import { type Kind, VECTORS } from "../../../test/gossip-vectors.js";

function encodePacket(packet: Packet): Buffer {
  const writer = new MsgpackWriter(8);
  if (packet.type === MESSAGE_DIGEST) {
    writeDigestHead(writer, packet.from, packet.request);
    for (const entry of packet.entries) writeDigestEntry(writer, entry);
  } else {
    writeDeltaHead(writer, packet.from);
    for (const { id, addr, entries } of packet.nodes) {
      writePacketNode(writer, id, addr, entries.length);
      for (const entry of entries) writeEntry(writer, entry);
    }
  }
  return writer.copy();
}

function reencode(kind: Kind, bytes: Buffer): Buffer {
  if (kind === "packet") return encodePacket(decodePacket(bytes));
  if (kind === "leaveResponse") return encodeLeaveAnswer(decodeLeaveAnswer(bytes));
  if (kind === "joinResponse") {
    const answer = new JoinAnswerReader(bytes);
    const nodes = whole(answer.nodes()).map(({ id, addr, entries }) => ({
      id,
      addr,
      entries: () => entries,
    }));
    return Buffer.concat([...encodeJoinAnswer(answer.from, nodes)]);
  }
  const request = new RequestReader(bytes);
  const nodes = whole(request.nodes());
  return request.type === MESSAGE_JOIN
    ? encodeJoinRequest(request.from, nodes, [...request.digest()].flat())
    : encodeLeaveRequest(request.from, nodes);
}

/** Merges nodes that were read in pieces. */
function whole(pieces: Iterable<NodeDelta>): NodeDelta[] {
  const nodes = new Map<string, { id: string; addr: string; entries: Entry[] }>();
  for (const { id, addr, entries } of pieces) {
    const node = nodes.get(id) ?? { id, addr, entries: [] };
    node.entries.push(...entries);
    nodes.set(id, node);
  }
  return [...nodes.values()];
}

const ENDS: Readonly<Record<Kind, () => MessageEnd>> = {
  packet: requestEnd,
  request: requestEnd,
  joinResponse: joinAnswerEnd,
  leaveResponse: leaveAnswerEnd,
};

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

/** A string in Go's short form, as hex. */
function short(text: string): string {
  return Buffer.concat([Buffer.from([0xa0 | text.length]), Buffer.from(text)]).toString("hex");
}

const HEADER = `83 ${short("node_id")} a161 ${short("addr")} ${short("b:1")} ${short("request")} c3`;

describe("the codec", () => {
  it.each(VECTORS)("reads and writes byte for byte: %s", (_name, kind, hex) => {
    const bytes = bytesOf(hex);
    expect(reencode(kind, bytes).toString("hex")).toBe(hex);
  });

  it.each(VECTORS.filter(([, kind]) => kind !== "packet"))("finds the end of: %s", (_name, kind, hex) => {
    const bytes = bytesOf(hex);
    const messageEnd = ENDS[kind]();
    const more = Buffer.concat([bytes, Buffer.from("more")]);
    for (let end = 0; end < bytes.length; end++) expect(messageEnd.find(more, end)).toBeUndefined();
    expect(messageEnd.find(more, more.length)).toBe(bytes.length);
  });

  it("reads the values of the worked examples", () => {
    expect(decodePacket(bytesOf(VECTORS[0]?.[2] ?? ""))).toEqual({
      type: 1,
      from: { nodeId: "a1b2c3d", addr: "10.0.0.1:8003" },
      request: true,
      entries: [
        { id: "a1b2c3d", addr: "10.0.0.1:8003", version: 5, left: false },
        { id: "e4f5g6h", addr: "10.0.0.2:8003", version: 300, left: false },
      ],
    });
    const delta = decodePacket(bytesOf(VECTORS[1]?.[2] ?? ""));
    expect(delta).toMatchObject({
      nodes: [
        {
          id: "a1b2c3d",
          entries: [
            { key: "proxy_addr", value: "10.0.0.1:8000", version: 1, internal: false, deleted: false },
            { key: "endpoint:my-endpoint", value: "", version: 4, internal: false, deleted: true },
            { key: "_internal:left", value: "", version: 5, internal: true, deleted: false },
          ],
        },
      ],
    });
  });

  it.each([
    [0, "00"],
    [127, "7f"],
    [128, "cc80"],
    [200, "ccc8"],
    [255, "ccff"],
    [256, "cd0100"],
    [65_535, "cdffff"],
    [70_000, "ce00011170"],
    [2 ** 32 - 1, "ceffffffff"],
    [2 ** 32, "cf0000000100000000"],
    [2 ** 53 - 1, "cf001fffffffffffff"],
  ])("writes the version %d as Go does", (version, hex) => {
    const writer = new MsgpackWriter();
    writer.uint(version);
    expect(writer.copy().toString("hex")).toBe(hex);
  });

  it.each([
    [127, "7f"],
    [128, "d10080"],
    [200, "d100c8"],
    [32_767, "d17fff"],
    [32_768, "d200008000"],
  ])("writes the count %d as Go does", (count, hex) => {
    const writer = new MsgpackWriter();
    writer.int(count);
    expect(writer.copy().toString("hex")).toBe(hex);
  });

  it.each([
    [31, "bf"],
    [32, "da0020"],
    [255, "da00ff"],
    [65_535, "daffff"],
    [65_536, "db00010000"],
  ])("writes a string of %d bytes in a legacy form", (length, head) => {
    const writer = new MsgpackWriter();
    writer.string("x".repeat(length));
    expect(writer.copy().toString("hex")).toBe(head + "78".repeat(length));
  });

  it("counts the bytes of a string, not its characters", () => {
    const writer = new MsgpackWriter();
    writer.string("é".repeat(16));
    expect(writer.copy().subarray(0, 3).toString("hex")).toBe("da0020");
  });
});

describe("the decoder", () => {
  it.each([
    [
      "fields in another order",
      `83 ${short("request")} c3 ${short("addr")} ${short("b:1")} ${short("node_id")} a161`,
    ],
    ["unknown fields", `84 ${short("new")} 92 81 a161 c0 c7 02 01 ffff ${HEADER.slice(3)}`],
    ["a struct as an array", `93 a161 ${short("b:1")} c3`],
    ["an array longer than the fields", `94 a161 ${short("b:1")} c3 c0`],
    ["map16", `de 0003 ${HEADER.slice(3)}`],
    ["str8", `83 ${short("node_id")} d9 01 61 ${short("addr")} ${short("b:1")} ${short("request")} c3`],
    [
      "bin8 values and names",
      `83 c4 07 ${Buffer.from("node_id").toString("hex")} c4 01 61 ${short("addr")} ${short("b:1")} ${short("request")} c3`,
    ],
    [
      "a string as an array of bytes",
      `83 ${short("node_id")} 91 61 ${short("addr")} ${short("b:1")} ${short("request")} c3`,
    ],
    ["1 for true", `83 ${short("node_id")} a161 ${short("addr")} ${short("b:1")} ${short("request")} 01`],
  ])("accepts %s", (_name, hex) => {
    expect(decodePacket(bytesOf(`0100 ${hex}`))).toEqual({
      type: 1,
      from: { nodeId: "a", addr: "b:1" },
      request: true,
      entries: [],
    });
  });

  it.each([
    ["07", 7],
    ["d1 0007", 7],
    ["d3 0000000000000007", 7],
    ["cb 401c000000000000", 7],
    ["ca 40e00000", 7],
    ["c0", 0],
  ])("accepts the number %s as a version", (hex, version) => {
    const entry = `82 ${short("id")} a178 ${short("version")} ${hex}`;
    expect(decodePacket(bytesOf(`0100 ${HEADER} ${entry}`))).toMatchObject({
      entries: [{ id: "x", version }],
    });
  });

  it.each(["ff", "d0 80", "cb 401e000000000000", "cf ffffffffffffffff", "a161", "c3"])(
    "rejects %s as a version",
    (hex) => {
      const entry = `82 ${short("id")} a178 ${short("version")} ${hex}`;
      expect(() => decodePacket(bytesOf(`0100 ${HEADER} ${entry}`))).toThrow(/version|number/);
    },
  );

  it("keeps the complete entries of a packet that was truncated anywhere", () => {
    const bytes = bytesOf(VECTORS[1]?.[2] ?? "");
    const whole = decodePacket(bytes);
    const head = 49 - 2;
    for (let end = 0; end < bytes.length; end++) {
      const cut = bytes.subarray(0, end);
      if (end < head) {
        expect(() => decodePacket(cut)).toThrow("ends in the middle");
        continue;
      }
      const packet = decodePacket(cut);
      if (packet.type !== 2 || whole.type !== 2) throw new Error("not a delta");
      const entries = packet.nodes[0]?.entries ?? [];
      expect(whole.nodes[0]?.entries.slice(0, entries.length)).toEqual(entries);
    }
  });

  it.each([
    ["", "ends in the middle"],
    ["01", "ends in the middle"],
    ["0101", "protocol version 1"],
    ["0500", "message type 5"],
    ["0300", "message type 3"],
    ["0100 c1", "a struct"],
    [
      `0100 83 ${short("node_id")} a0 ${short("addr")} ${short("b:1")} ${short("request")} c3`,
      "without an id",
    ],
    [`0100 ${HEADER} 81 ${short("id")} 05`, "a string"],
    [`0100 ${HEADER} c1`, "a struct"],
  ])("rejects the packet %s", (hex, reason) => {
    expect(() => decodePacket(bytesOf(hex))).toThrow(reason);
  });

  it("allocates no memory for lengths that the message can't hold", () => {
    const from = `82 ${short("node_id")} a161 ${short("addr")} ${short("b:1")}`;
    for (const list of ["dd ffffffff", "dc ffff", `91 81 ${short("entries")} dd ffffffff`, "db ffffffff"]) {
      expect(() => [...new JoinAnswerReader(bytesOf(`${from} ${list}`)).nodes()]).toThrow();
    }
  });

  it("reads a large message in pieces, and a node's fields in any order", () => {
    const entries = Array.from({ length: 1_000 }, (_, i) => ({
      key: `k${i}`,
      value: "1",
      version: i + 1,
      internal: false,
      deleted: false,
    }));
    const from = { nodeId: "a", addr: "b:1" };
    const nodes = [{ id: "a", addr: "b:1", entries }];
    const read = new RequestReader(encodeJoinRequest(from, nodes, []));
    const pieces = [...read.nodes()];
    expect(pieces.every((piece) => piece.entries.length <= 256)).toBe(true);
    expect(whole(pieces)).toEqual(nodes);
    const list = encodeJoinRequest(from, [{ id: "a", addr: "b:1", entries: entries.slice(0, 20) }], []);
    const at = list.indexOf("entries") + "entries".length;
    const swapped = `82 ${short("node_id")} a161 ${short("addr")} ${short("b:1")} 91 83 ${short("entries")} ${list
      .subarray(at, -1)
      .toString("hex")} ${short("id")} a161 ${short("addr")} ${short("b:1")}`;
    expect(whole(new JoinAnswerReader(bytesOf(swapped)).nodes())).toEqual([
      { id: "a", addr: "b:1", entries: entries.slice(0, 20) },
    ]);
  });

  it("skips only a limited number of unknown fields", () => {
    const from = `82 ${short("node_id")} a161 ${short("addr")} ${short("b:1")}`;
    const nils = (count: number): string => `dd ${count.toString(16).padStart(8, "0")} ${"c0".repeat(count)}`;
    const answer = (unknown: string): string =>
      `${from} 91 82 ${short("id")} a161 ${short("new")} ${unknown}`;
    expect(whole(new JoinAnswerReader(bytesOf(answer(nils(4_000)))).nodes())).toHaveLength(1);
    expect(() => [...new JoinAnswerReader(bytesOf(answer(nils(5_000)))).nodes()]).toThrow("unknown values");
    expect(() => [
      ...new JoinAnswerReader(bytesOf(`${from} 91 df 00001000 ${"c0".repeat(64)}`)).nodes(),
    ]).toThrow("fields");
  });

  it("terminates for any bytes", () => {
    // Deterministic noise, much of which begins like a message.
    let seed = 1;
    const noise = (): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return seed >>> 24;
    };
    const packets = VECTORS.filter(([, kind]) => kind === "packet").map(([, , hex]) => bytesOf(hex));
    for (let i = 0; i < 20_000; i++) {
      const bytes = Buffer.from(packets[i % packets.length] ?? "");
      for (let changes = noise() % 4; changes >= 0; changes--) {
        bytes[2 + ((noise() * 256 + noise()) % (bytes.length - 2))] = noise();
      }
      try {
        decodePacket(bytes);
      } catch (error) {
        expect(error).toMatchObject({ name: "GossipError" });
      }
    }
  });
});
