// Reads the case files of this folder (the format is described at the top of requests.txt).

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** What happens to the client's connection. */
export type Fate = "close" | "open" | "cut" | "waits" | "raw";

export interface Outcome {
  /** Status of each answer, with the method of its request. */
  readonly answers: readonly { readonly method: string; readonly status: number }[];
  readonly fate: Fate;
}

export interface SmugglingCase {
  readonly title: string;
  readonly sent: Buffer;
  /** What reaches the service; undefined if at most a part of a request does. */
  readonly reaches: Buffer | undefined;
  readonly answer: ServiceAnswer | undefined;
  /** What the client receives; undefined for anything with the right statuses. */
  readonly received: Buffer | undefined;
  readonly outcomes: readonly Outcome[];
}

/** What the service sends. */
export interface ServiceAnswer {
  readonly bytes: Buffer;
  /** Whether it closes its connection afterwards. */
  readonly end: boolean;
  /** Whether it answers as soon as it has the head. */
  readonly early: boolean;
  /** Whether the agent must end the connection, because the service sent more than the answer. */
  readonly dropped: boolean;
  /** Whether the answer is never sent in pieces. */
  readonly whole: boolean;
}

/** The cases in one file of this folder. */
export function readCases(name: string): SmugglingCase[] {
  const text = readFileSync(fileURLToPath(new URL(name, import.meta.url)), "utf8");
  const blocks = text.split(/^## /m).slice(1);
  return blocks.map((block) =>
    readCase(
      name,
      block.split("\n").filter((line) => !line.startsWith("#")),
    ),
  );
}

function readCase(file: string, lines: readonly string[]): SmugglingCase {
  const title = lines[0] ?? "";
  const texts = (prefix: string): string[] =>
    lines.filter((line) => line.startsWith(`${prefix} `)).map((line) => line.slice(prefix.length + 1));
  const outcomes = texts("=");
  const sent = texts("C>");
  if (outcomes.length !== 1 || sent.length === 0) throw new Error(`${file}: incomplete case: ${title}`);
  const known = /^(C>|>S|S>|>C|=) |^$/;
  const odd = lines.slice(1).find((line) => !known.test(line));
  if (odd !== undefined) throw new Error(`${file}: not a line of a case: ${odd}`);
  const reaches = texts(">S");
  const answer = texts("S>");
  const received = texts(">C");
  const parsed = (outcomes[0] ?? "").split(" | ").map(readOutcome);
  return {
    title,
    sent: unescape(sent.join("")),
    reaches:
      reaches[0] === "..."
        ? undefined
        : reaches.length > 0 || answer.length === 0
          ? unescape(reaches.join(""))
          : undefined,
    answer: answer.length === 0 ? undefined : readAnswer(answer),
    received: received.length === 0 ? undefined : unescape(received.join("")),
    outcomes: parsed,
  };
}

const ANSWER_WORDS: ReadonlySet<string> = new Set(["end", "early", "dropped", "whole"]);

function readAnswer(texts: readonly string[]): ServiceAnswer {
  const words = new Set(texts.filter((text) => ANSWER_WORDS.has(text)));
  return {
    bytes: unescape(texts.filter((text) => !words.has(text)).join("")),
    end: words.has("end"),
    early: words.has("early"),
    dropped: words.has("dropped"),
    whole: words.has("whole"),
  };
}

function readOutcome(text: string): Outcome {
  const words = text.trim().split(" ");
  const fate = words.pop();
  if (fate !== "close" && fate !== "open" && fate !== "cut" && fate !== "waits" && fate !== "raw") {
    throw new Error(`not a fate: ${fate}`);
  }
  const answers = words.flatMap((word) => {
    const match = /^(?:([A-Z]+):)?(\d{3})(?:\*(\d+))?$/.exec(word);
    if (match === null) throw new Error(`not a status: ${word}`);
    const one = { method: match[1] ?? "GET", status: Number(match[2]) };
    return Array.from({ length: Number(match[3] ?? 1) }, () => one);
  });
  return { answers, fate };
}

const ESCAPES: Readonly<Record<string, string>> = { r: "\r", n: "\n", t: "\t", "0": "\0", "\\": "\\" };

function unescape(text: string): Buffer {
  const repeated = text.replace(/\\\{(\d+):([^}]*)\}/g, (_all, count: string, what: string) =>
    what.repeat(Number(count)),
  );
  const plain = repeated.replace(
    /\\(?:x([0-9a-fA-F]{2})|(.))/g,
    (all, hex: string | undefined, one: string) => {
      if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
      const character = ESCAPES[one];
      if (character === undefined) throw new Error(`not an escape: ${all}`);
      return character;
    },
  );
  return Buffer.from(plain, "latin1");
}
