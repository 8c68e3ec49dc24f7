// HTTP/2 frames that no correct peer sends: the frames of a conversation, some of them changed, truncated, repeated,
// reordered or moved to other streams, and frames with arbitrary bytes.

import type { SeededRandom } from "@piko/testkit";
import {
  block,
  data,
  type Field,
  frame,
  GET_FIELDS,
  headers,
  POST_FIELDS,
  settings,
  uint32,
} from "../../packages/piko/test/h2-peer.js";

const IDS = [0, 1, 1, 3, 3, 5, 7, 9, 2, 1_001, 0x7fff_ffff];
const NUMBERS = [0, 1, 0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff];

const REQUESTS: readonly (readonly Field[])[] = [
  GET_FIELDS,
  POST_FIELDS,
  [...POST_FIELDS, ["content-length", "3"]],
  [...POST_FIELDS, ["content-type", "application/grpc"], ["te", "trailers"], ["grpc-timeout", "1S"]],
  [...GET_FIELDS, ["cookie", "a=b"], ["cookie", "c=d"], ["host", "e.test"]],
  [[":method", "CONNECT"], [":protocol", "websocket"], ...GET_FIELDS.slice(1)],
];
const RESPONSES: readonly (readonly Field[])[] = [
  [[":status", "200"]],
  [[":status", "204"]],
  [
    [":status", "103"],
    ["link", "</a>"],
  ],
  [
    [":status", "200"],
    ["content-length", "3"],
  ],
  [
    [":status", "200"],
    ["content-type", "application/grpc"],
    ["grpc-status", "5"],
  ],
  [
    [":status", "304"],
    ["etag", "a"],
  ],
];
const TRAILERS: readonly (readonly Field[])[] = [
  [["grpc-status", "0"]],
  [
    ["x", "y"],
    ["content-length", "1"],
  ],
];

/** The sender of the frames. */
export type Side = "client" | "service";

/** Returns `count` frames of one connection. Some connections are mostly correct, so that the faults of the others get far. */
export function conversation(random: SeededRandom, side: Side, count: number): string[] {
  const frames: string[] = [];
  const wildness = random.pick([0, 1, 3, 10]);
  let next = 1;
  for (let i = 0; i < count; i++) {
    const wild = random.int(1, 10) <= wildness;
    const id = wild ? random.pick(IDS) : streamId(random, side, next);
    const text = wild || random.int(0, 1) === 1 ? anyFrame(random, side, id) : message(random, side, id);
    if (id === next) next += 2;
    frames.push(wild ? mutated(random, text) : text);
  }
  if (random.int(0, 9) === 0) swap(random, frames);
  return frames;
}

/** For a client, its next stream or an existing one; for a service, one of the few that an agent may have opened. */
function streamId(random: SeededRandom, side: Side, next: number): number {
  if (side === "service") return 2 * random.int(0, 4) + 1;
  return random.int(0, 1) === 1 ? next : Math.max(1, next - 2 * random.int(0, 3));
}

function message(random: SeededRandom, side: Side, id: number): string {
  return headers(id, random.pick(side === "client" ? REQUESTS : RESPONSES), random.int(0, 1) === 1);
}

function anyFrame(random: SeededRandom, side: Side, id: number): string {
  const last = random.int(0, 1) === 1;
  switch (random.int(0, 13)) {
    case 0:
    case 1:
    case 2:
    case 3:
      return message(random, side, id);
    case 4:
    case 5:
      return data(id, "x".repeat(random.pick([0, 1, 3, 100])), last);
    case 6:
      return headers(id, random.pick(TRAILERS), true);
    case 7:
      return frame(3, 0, id, uint32(random.pick([0, 1, 7, 8, 0xffff])));
    case 8:
      return frame(4, random.pick([0, 1]), 0, settings([random.int(0, 9), random.pick(NUMBERS)]));
    case 9:
      return frame(6, random.pick([0, 1]), 0, "pikoping");
    case 10:
      return frame(7, 0, 0, uint32(random.pick(IDS)) + uint32(random.pick(NUMBERS)));
    case 11:
      return frame(8, 0, random.pick([0, id]), uint32(random.pick([1, 1_000, ...NUMBERS])));
    case 12:
      return inPieces(random, id, side);
    default:
      return frame(random.int(0, 255), random.int(0, 255), id, bytes(random, random.int(0, 40)));
  }
}

/** A header block in two frames, the second of which may lack its flag or be on another stream. */
function inPieces(random: SeededRandom, id: number, side: Side): string {
  const all = block(random.pick(side === "client" ? REQUESTS : RESPONSES));
  const at = random.int(0, all.length);
  const first = frame(1, random.pick([0, 1]), id, all.slice(0, at));
  const second = frame(9, random.pick([0, 4, 4]), random.int(0, 9) === 0 ? id + 2 : id, all.slice(at));
  return first + second;
}

function mutated(random: SeededRandom, text: string): string {
  switch (random.int(0, 5)) {
    case 0: {
      const at = random.int(0, text.length - 1);
      return text.slice(0, at) + String.fromCharCode(random.int(0, 255)) + text.slice(at + 1);
    }
    case 1:
      return text.slice(0, random.int(0, text.length));
    case 2:
      return text + text;
    case 3: {
      const at = random.int(0, text.length);
      return text.slice(0, at) + bytes(random, random.int(1, 8)) + text.slice(at);
    }
    default:
      return text;
  }
}

function swap(random: SeededRandom, frames: string[]): void {
  if (frames.length < 2) return;
  const at = random.int(0, frames.length - 2);
  const [one = "", other = ""] = frames.slice(at, at + 2);
  frames.splice(at, 2, other, one);
}

function bytes(random: SeededRandom, count: number): string {
  let text = "";
  for (let i = 0; i < count; i++) text += String.fromCharCode(random.int(0, 255));
  return text;
}
