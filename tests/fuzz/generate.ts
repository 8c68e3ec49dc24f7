// Cases for the fuzzer: streams of requests, and single answers of services. They are made by a grammar of inputs that
// parsers have disagreed about, then damaged byte by byte. A case depends only on the seed and its number.

import { SeededRandom } from "../../packages/testkit/src/seeded-random.js";
import {
  CONTENTS,
  EXTENSIONS,
  INTERIM,
  LINE_ENDS,
  ODD_STATUSES,
  SIZES,
  FRAGMENTS,
  STATUSES,
  TRAILERS,
} from "./body-words.js";
import {
  CONNECTIONS,
  ENCODINGS,
  FRAMING_NAMES,
  HOSTS,
  LENGTHS,
  METHODS,
  NAMES,
  ODD_FRAMING_NAMES,
  ODD_HOSTS,
  ODD_LINES,
  ODD_METHODS,
  ODD_TARGETS,
  ODD_VERSIONS,
  SEPARATORS,
  TARGETS,
  UPGRADES,
  VALUES,
  VERSIONS,
} from "./head-words.js";

export interface RequestCase {
  readonly kind: "request";
  readonly bytes: Buffer;
  /** Offsets at which the bytes are cut into pieces, ascending. */
  readonly cuts: readonly number[];
  readonly forwardedProto: string | undefined;
  readonly forwardedHost: string | undefined;
}

export interface ResponseCase {
  readonly kind: "response";
  readonly bytes: Buffer;
  readonly cuts: readonly number[];
  readonly method: string;
  readonly http10: boolean;
}

export type FuzzCase = RequestCase | ResponseCase;

/** Returns case number `index` of a seed. */
export function generateCase(seed: number, index: number): FuzzCase {
  const random = new SeededRandom(
    (Math.imul(seed, 0x9e3779b1) ^ Math.imul(index, 0x85ebca6b) ^ Math.floor(index / 0x1_0000_0000)) >>> 0,
  );
  if (random.int(0, 3) === 0) {
    const bytes = Buffer.from(mutate(random, responseText(random)), "latin1");
    const method = random.pick(["GET", "GET", "HEAD", "POST"]);
    return {
      kind: "response",
      bytes,
      cuts: cuts(random, bytes.length),
      method,
      http10: random.int(0, 3) === 0,
    };
  }
  let text = "";
  for (let count = random.int(1, 3); count > 0; count--) text += requestText(random);
  const bytes = Buffer.from(mutate(random, text), "latin1");
  return {
    kind: "request",
    bytes,
    cuts: cuts(random, bytes.length),
    forwardedProto: random.int(0, 1) === 0 ? undefined : "http",
    forwardedHost: random.int(0, 1) === 0 ? undefined : "front.test",
  };
}

function fieldLine(random: SeededRandom): string {
  switch (random.int(0, 15)) {
    case 0:
      return random.pick(ODD_LINES);
    case 1:
      if (random.int(0, 1) === 0) {
        return `Connection: Upgrade\r\nUpgrade${random.pick(SEPARATORS)}${random.pick(UPGRADES)}`;
      }
      return `Connection${random.pick(SEPARATORS)}${random.pick(CONNECTIONS)}`;
    default:
      return `${random.pick(NAMES)}${random.pick(SEPARATORS)}${random.pick(VALUES)}`;
  }
}

/** Framing fields and a body, which usually match, but not always. */
function framedBody(random: SeededRandom, fields: string[]): string {
  switch (random.int(0, 9)) {
    case 0:
    case 1:
    case 2: {
      const body = content(random);
      fields.push(`Content-Length${random.pick(SEPARATORS)}${body.length}`);
      return body;
    }
    case 3:
    case 4:
    case 5:
      fields.push(
        `${random.pick(FRAMING_NAMES.slice(2))}${random.pick(SEPARATORS)}${random.int(0, 3) === 0 ? random.pick(ENCODINGS) : "chunked"}`,
      );
      return chunks(random);
    case 6: {
      const count = random.int(1, 2);
      for (let i = 0; i < count; i++) {
        const name = random.int(0, 3) === 0 ? random.pick(ODD_FRAMING_NAMES) : random.pick(FRAMING_NAMES);
        const values = /^.?t/i.test(name) ? ENCODINGS : LENGTHS;
        fields.push(`${name}${random.pick(SEPARATORS)}${random.pick(values)}`);
      }
      return random.int(0, 1) === 0 ? chunks(random) : content(random);
    }
    case 7:
      return content(random);
    default:
      return "";
  }
}

function content(random: SeededRandom): string {
  return random.pick(CONTENTS);
}

function chunks(random: SeededRandom): string {
  const odd = random.int(0, 3) === 0;
  let text = "";
  for (let count = random.int(0, 2); count > 0; count--) {
    const data = content(random);
    if (data === "") continue;
    const size = odd && random.int(0, 2) === 0 ? random.pick(SIZES) : data.length.toString(16);
    const extension = odd ? random.pick(EXTENSIONS) : "";
    text += `${size}${extension}${odd ? random.pick(LINE_ENDS) : "\r\n"}${data}${odd ? random.pick(LINE_ENDS) : "\r\n"}`;
  }
  const trailers = random.int(0, 2) === 0 ? random.pick(TRAILERS) : "";
  const last = odd ? `${random.pick(["0", "00", "000", "-0", ""])}${random.pick(EXTENSIONS)}` : "0";
  return `${text}${last}\r\n${trailers}\r\n`;
}

/** Usually one of the first list. */
function usually(random: SeededRandom, usual: readonly string[], odd: readonly string[]): string {
  return random.int(0, 19) === 0 ? random.pick(odd) : random.pick(usual);
}

function requestText(random: SeededRandom): string {
  const front = random.int(0, 29) === 0 ? random.pick(["\r\n", "\r\n\r\n", "\n", "\r", " "]) : "";
  const line = `${usually(random, METHODS, ODD_METHODS)} ${usually(random, TARGETS, ODD_TARGETS)} ${usually(random, VERSIONS, ODD_VERSIONS)}`;
  const fields = [usually(random, HOSTS, ODD_HOSTS)];
  for (let count = random.int(0, 3); count > 0; count--) fields.push(fieldLine(random));
  const body = framedBody(random, fields);
  return `${front}${line}\r\n${random.shuffle(fields).join("\r\n")}\r\n\r\n${body}`;
}

function responseText(random: SeededRandom): string {
  let text = "";
  if (random.int(0, 7) === 0)
    for (let count = random.int(1, 3); count > 0; count--) text += random.pick(INTERIM);
  const fields: string[] = [];
  for (let count = random.int(0, 3); count > 0; count--) fields.push(fieldLine(random));
  const body = framedBody(random, fields);
  const line = `${usually(random, VERSIONS, ODD_VERSIONS)} ${usually(random, STATUSES, ODD_STATUSES)}`;
  const lines = [line, ...random.shuffle(fields), "", ""].join("\r\n");
  const trailing =
    random.int(0, 9) === 0
      ? random.pick(["garbage", "\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
      : "";
  return `${text}${lines}${body}${trailing}`;
}

/** Half of the texts stay intact; the others are damaged in up to four places. */
function mutate(random: SeededRandom, text: string): string {
  let damaged = text;
  for (let edits = random.int(-6, 4); edits > 0; edits--) {
    const at = random.int(0, damaged.length);
    const length = random.int(1, 4) === 1 ? random.int(0, 16) : 1;
    switch (random.int(0, 5)) {
      case 0:
        damaged = damaged.slice(0, at) + damaged.slice(at + length);
        break;
      case 1:
        damaged = damaged.slice(0, at) + damaged.slice(at, at + length) + damaged.slice(at);
        break;
      case 2:
        damaged = damaged.slice(0, at) + String.fromCharCode(random.int(0, 255)) + damaged.slice(at + 1);
        break;
      case 3:
        damaged = damaged.slice(0, at);
        break;
      default: {
        const replaced = random.int(0, 1);
        damaged = damaged.slice(0, at) + random.pick(FRAGMENTS) + damaged.slice(at + replaced);
      }
    }
  }
  return damaged;
}

function cuts(random: SeededRandom, length: number): number[] {
  const offsets: number[] = [];
  for (let count = random.int(0, 3); count > 0; count--) {
    const offset = random.int(1, length);
    if (offset < length && !offsets.includes(offset)) offsets.push(offset);
  }
  return offsets.sort((a, b) => a - b);
}
