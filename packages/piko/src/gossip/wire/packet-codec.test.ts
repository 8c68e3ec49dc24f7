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

type Kind = "packet" | "request" | "joinResponse" | "leaveResponse";

/** Messages as Go Piko v0.9.0 writes them: worked out by its encoder's rules (D...), and captured. */
const VECTORS: readonly (readonly [string, Kind, string])[] = [
  [
    "D1 UDP digest request",
    "packet",
    "010083a76e6f64655f6964a761316232633364a461646472ad31302e302e302e313a38303033a772657175657374c384a26964a761316232633364a461646472ad31302e302e302e313a38303033a776657273696f6e05a46c656674c284a26964a765346635673668a461646472ad31302e302e302e323a38303033a776657273696f6ecd012ca46c656674c2",
  ],
  [
    "D2 UDP delta",
    "packet",
    "020083a76e6f64655f6964a761316232633364a461646472ad31302e302e302e313a38303033a7656e74726965730083a76e6f64655f6964a761316232633364a461646472ad31302e302e302e313a38303033a7656e74726965730385a36b6579aa70726f78795f61646472a576616c7565ad31302e302e302e313a38303030a776657273696f6e01a8696e7465726e616cc2a764656c65746564c285a36b6579b4656e64706f696e743a6d792d656e64706f696e74a576616c7565a0a776657273696f6e04a8696e7465726e616cc2a764656c65746564c385a36b6579ae5f696e7465726e616c3a6c656674a576616c7565a0a776657273696f6e05a8696e7465726e616cc3a764656c65746564c2",
  ],
  [
    "D2b UDP delta, empty (liveness only)",
    "packet",
    "020083a76e6f64655f6964a761316232633364a461646472ad31302e302e302e313a38303033a7656e747269657300",
  ],
  [
    "D3 TCP join request",
    "request",
    "030082a76e6f64655f6964a761316232633364a461646472ad31302e302e302e313a383030339183a26964a761316232633364a461646472ad31302e302e302e313a38303033a7656e74726965739285a36b6579aa70726f78795f61646472a576616c7565ad31302e302e302e313a38303030a776657273696f6e01a8696e7465726e616cc2a764656c65746564c285a36b6579aa61646d696e5f61646472a576616c7565ad31302e302e302e313a38303032a776657273696f6e02a8696e7465726e616cc2a764656c65746564c29184a26964a761316232633364a461646472ad31302e302e302e313a38303033a776657273696f6e02a46c656674c2",
  ],
  [
    "D4 TCP join response (NO 2-byte prefix)",
    "joinResponse",
    "82a76e6f64655f6964a765346635673668a461646472ad31302e302e302e323a383030339183a26964a765346635673668a461646472ad31302e302e302e323a38303033a7656e74726965739385a36b6579aa70726f78795f61646472a576616c7565ad31302e302e302e323a38303030a776657273696f6e01a8696e7465726e616cc2a764656c65746564c285a36b6579aa61646d696e5f61646472a576616c7565ad31302e302e302e323a38303032a776657273696f6e02a8696e7465726e616cc2a764656c65746564c285a36b6579b4656e64706f696e743a6d792d656e64706f696e74a576616c7565a132a776657273696f6e03a8696e7465726e616cc2a764656c65746564c2",
  ],
  [
    "D5 TCP leave request",
    "request",
    "040082a76e6f64655f6964a761316232633364a461646472ad31302e302e302e313a383030339183a26964a761316232633364a461646472ad31302e302e302e313a38303033a7656e74726965739385a36b6579aa70726f78795f61646472a576616c7565ad31302e302e302e313a38303030a776657273696f6e01a8696e7465726e616cc2a764656c65746564c285a36b6579aa61646d696e5f61646472a576616c7565ad31302e302e302e313a38303032a776657273696f6e02a8696e7465726e616cc2a764656c65746564c285a36b6579ae5f696e7465726e616c3a6c656674a576616c7565a0a776657273696f6e03a8696e7465726e616cc3a764656c65746564c2",
  ],
  [
    "D6 TCP leave ack (NO 2-byte prefix)",
    "leaveResponse",
    "82a76e6f64655f6964a765346635673668a461646472ad31302e302e302e323a38303033",
  ],
  [
    "digest request, aaa to bbb, both at version 2",
    "packet",
    "010083a76e6f64655f6964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a772657175657374c384a26964a76e6f6465626262a461646472af3132372e302e302e313a3232303133a776657273696f6e02a46c656674c284a26964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a776657273696f6e02a46c656674c2",
  ],
  [
    "digest reply, bbb",
    "packet",
    "010083a76e6f64655f6964a76e6f6465626262a461646472af3132372e302e302e313a3232303133a772657175657374c284a26964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a776657273696f6e02a46c656674c284a26964a76e6f6465626262a461646472af3132372e302e302e313a3232303133a776657273696f6e02a46c656674c2",
  ],
  [
    "empty delta, bbb",
    "packet",
    "020083a76e6f64655f6964a76e6f6465626262a461646472af3132372e302e302e313a3232303133a7656e747269657300",
  ],
  [
    'delta, aaa: endpoint:my-endpoint = "1", version 3',
    "packet",
    "020083a76e6f64655f6964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a7656e74726965730083a76e6f64655f6964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a7656e74726965730185a36b6579b4656e64706f696e743a6d792d656e64706f696e74a576616c7565a131a776657273696f6e03a8696e7465726e616cc2a764656c65746564c2",
  ],
  [
    "delta with a raw16 key (endpoint: and 32 x e), version 4",
    "packet",
    "020083a76e6f64655f6964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a7656e74726965730083a76e6f64655f6964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a7656e74726965730185a36b6579da0029656e64706f696e743a6565656565656565656565656565656565656565656565656565656565656565a576616c7565a131a776657273696f6e04a8696e7465726e616cc2a764656c65746564c2",
  ],
  [
    "delta, deleted, version 5",
    "packet",
    "020083a76e6f64655f6964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a7656e74726965730083a76e6f64655f6964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a7656e74726965730185a36b6579b4656e64706f696e743a6d792d656e64706f696e74a576616c7565a0a776657273696f6e05a8696e7465726e616cc2a764656c65746564c3",
  ],
  [
    'delta, compaction marker "204", version 207 (nodebbb at :22413)',
    "packet",
    "020083a76e6f64655f6964a76e6f6465626262a461646472af3132372e302e302e313a3232343133a7656e74726965730083a76e6f64655f6964a76e6f6465626262a461646472af3132372e302e302e313a3232343133a7656e74726965730185a36b6579b15f696e7465726e616c3a636f6d70616374a576616c7565a3323034a776657273696f6ecccfa8696e7465726e616cc3a764656c65746564c2",
  ],
  [
    "join request, bbb to aaa",
    "request",
    "030082a76e6f64655f6964a76e6f6465626262a461646472af3132372e302e302e313a32323031339183a26964a76e6f6465626262a461646472af3132372e302e302e313a3232303133a7656e74726965739285a36b6579aa70726f78795f61646472a576616c7565af3132372e302e302e313a3232303130a776657273696f6e01a8696e7465726e616cc2a764656c65746564c285a36b6579aa61646d696e5f61646472a576616c7565af3132372e302e302e313a3232303132a776657273696f6e02a8696e7465726e616cc2a764656c65746564c29184a26964a76e6f6465626262a461646472af3132372e302e302e313a3232303133a776657273696f6e02a46c656674c2",
  ],
  [
    "join response, aaa",
    "joinResponse",
    "82a76e6f64655f6964a76e6f6465616161a461646472af3132372e302e302e313a32323030339183a26964a76e6f6465616161a461646472af3132372e302e302e313a3232303033a7656e74726965739285a36b6579aa70726f78795f61646472a576616c7565af3132372e302e302e313a3232303030a776657273696f6e01a8696e7465726e616cc2a764656c65746564c285a36b6579aa61646d696e5f61646472a576616c7565af3132372e302e302e313a3232303032a776657273696f6e02a8696e7465726e616cc2a764656c65746564c2",
  ],
  [
    "join response with nothing to send (gonodea)",
    "joinResponse",
    "82a76e6f64655f6964a7676f6e6f646561a461646472af3132372e302e302e313a3232303033c0",
  ],
  [
    "join response, node ghost01 (:22299) with nil entries",
    "joinResponse",
    "82a76e6f64655f6964a7676f6e6f646561a461646472af3132372e302e302e313a32323030339183a26964a767686f73743031a461646472af3132372e302e302e313a3232323939a7656e7472696573c0",
  ],
  [
    "leave request, bbb to ccc, left marker version 3",
    "request",
    "040082a76e6f64655f6964a76e6f6465626262a461646472af3132372e302e302e313a32323031339183a26964a76e6f6465626262a461646472af3132372e302e302e313a3232303133a7656e74726965739385a36b6579aa70726f78795f61646472a576616c7565af3132372e302e302e313a3232303130a776657273696f6e01a8696e7465726e616cc2a764656c65746564c285a36b6579aa61646d696e5f61646472a576616c7565af3132372e302e302e313a3232303132a776657273696f6e02a8696e7465726e616cc2a764656c65746564c285a36b6579ae5f696e7465726e616c3a6c656674a576616c7565a0a776657273696f6e03a8696e7465726e616cc3a764656c65746564c2",
  ],
  [
    "leave ack, ccc",
    "leaveResponse",
    "82a76e6f64655f6964a76e6f6465636363a461646472af3132372e302e302e313a3232303233",
  ],
];

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

/** Nodes that were read in pieces, each in one. */
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

  it("reads what the worked examples say", () => {
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
    ["a longer array than there are fields", `94 a161 ${short("b:1")} c3 c0`],
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
  ])("takes %s", (_name, hex) => {
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
  ])("takes the number %s for a version", (hex, version) => {
    const entry = `82 ${short("id")} a178 ${short("version")} ${hex}`;
    expect(decodePacket(bytesOf(`0100 ${HEADER} ${entry}`))).toMatchObject({
      entries: [{ id: "x", version }],
    });
  });

  it.each(["ff", "d0 80", "cb 401e000000000000", "cf ffffffffffffffff", "a161", "c3"])(
    "refuses %s for a version",
    (hex) => {
      const entry = `82 ${short("id")} a178 ${short("version")} ${hex}`;
      expect(() => decodePacket(bytesOf(`0100 ${HEADER} ${entry}`))).toThrow(/version|number/);
    },
  );

  it("keeps what is whole of a packet that was cut anywhere", () => {
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
  ])("refuses the packet %s", (hex, reason) => {
    expect(() => decodePacket(bytesOf(hex))).toThrow(reason);
  });

  it("allocates nothing for lengths that the message can't hold", () => {
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

  it("passes over little that nobody knows", () => {
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

  it("ends on any bytes", () => {
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
