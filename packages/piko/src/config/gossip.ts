// How nodes find each other, and who is one: the gossip port, its limits and its keys.

import type { AddressRanges } from "../base/address-ranges.js";
import { parseSecretKey } from "../base/secret-key.js";
import { type Field, type Section, section } from "./declaration.js";
import { address, bytes, choice, duration, files, optionalAddress, strings } from "./fields.js";
import { addressRanges, bytesLimit } from "./limit-fields.js";
import type { PortConfig } from "./port.js";

/** What goes out and what is taken in: plain and plain, plain and both, encrypted and both, encrypted and encrypted. */
export type GossipEncryption = "off" | "accept" | "prefer" | "required";

/** The protocol by which nodes find each other. */
export interface GossipConfig extends PortConfig {
  readonly intervalMs: number;
  readonly maxPacketSize: number;
  readonly maxStateBytes: number;
  readonly encryption: GossipEncryption;
  /** 32 bytes in base64 each. */
  readonly secretKeys: readonly string[];
  /** Paths of files that hold one each. */
  readonly secretKeyFiles: readonly string[];
  readonly maxClockSkewMs: number;
  /** Empty for all. */
  readonly allowedCidrs: AddressRanges;
}

/** Room in a packet for the longest endpoint id beside what encryption adds. */
const LEAST_ENCRYPTED_PACKET_BYTES = 640;

/** Declares the settings of the gossip port; `inferred` says what its address is by default. */
export function gossip(inferred: string): Section<GossipConfig> {
  return section<GossipConfig>(
    "The port, UDP and TCP, by which nodes find each other.",
    {
      bindAddr: address(":8003", "Address to listen on for gossip."),
      advertiseAddr: optionalAddress(`Address that other nodes gossip with. ${inferred}`),
      intervalMs: duration(
        "100ms",
        "Time between rounds of gossip. A node that has stopped answering is left out after 30 of them.",
        { min: "1ms" },
      ),
      maxPacketSize: bytes(1_400, "Largest datagram to send.", { min: 512, max: 65_507 }),
      maxStateBytes: bytesLimit(
        128 * 1_024 * 1_024,
        "Memory for what other nodes announce, 400 bytes and more for each endpoint of each node; one node gets a quarter at most. What there is no room for isn't found through this node. 0: no limit.",
      ),
      encryption: choice(
        ["off", "accept", "prefer", "required"],
        "off",
        "Whether gossip is encrypted, so that only nodes with a key take part. `off` sends and takes plain gossip, as Go nodes do; `accept` sends plain gossip and takes both; `prefer` sends encrypted gossip and takes both; `required` sends and takes nothing else. A cluster goes from one to the next, never past one. Only `required` keeps others out.",
      ),
      secretKeys: keys(
        "Keys that gossip is encrypted by: 32 random bytes in base64 each. The first one encrypts, all of them decrypt, so that a key can be replaced: add the new one everywhere, move it to the front, take out the old one.",
      ),
      secretKeyFiles: files(
        "Files with these keys, one each, in place of secret_keys. The files are watched: what changes in them counts without a restart.",
      ),
      maxClockSkewMs: duration(
        "1m0s",
        "By how much the clocks of two nodes may differ where gossip is encrypted. For as long a message that somebody has copied is looked for among those that were seen.",
        { min: "1s" },
      ),
      allowedCidrs: addressRanges(
        "Addresses and networks that gossip is exchanged with, such as 10.0.0.0/8. Packets and connections of others are dropped unread, and nothing is sent to them. Empty: all.",
      ),
    },
    ({ encryption, maxPacketSize, secretKeyFiles, secretKeys }, report) => {
      if (secretKeys.length > 0 && secretKeyFiles.length > 0)
        report(["secretKeyFiles"], "excludes secret_keys");
      if (encryption === "off") return;
      if (secretKeys.length + secretKeyFiles.length === 0)
        report(["encryption"], `${encryption} needs secret_keys or secret_key_files`);
      if (maxPacketSize < LEAST_ENCRYPTED_PACKET_BYTES) {
        const least = `must be at least ${LEAST_ENCRYPTED_PACKET_BYTES} where gossip is encrypted`;
        report(["maxPacketSize"], `${maxPacketSize} is too small: ${least}`);
      }
    },
  );
}

/** Keys as text, which is never shown. */
function keys(description: string): Field<readonly string[]> {
  const words = strings(description);
  const schema = words.schema.superRefine((texts, context) => {
    texts.forEach((text, index) => {
      try {
        parseSecretKey(text);
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        context.addIssue({ code: "custom", path: [index], message });
      }
    });
  });
  return { ...words, schema, secret: true };
}
