// The generated id of a node.

import { randomInt } from "node:crypto";

const CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789";
const RANDOM_CHARACTERS = 7;

/** The prefix and seven random characters, so that every start of a node gets a new id. */
export function generateNodeId(prefix: string): string {
  let id = prefix;
  for (let i = 0; i < RANDOM_CHARACTERS; i++) id += CHARACTERS[randomInt(CHARACTERS.length)] ?? "";
  return id;
}
