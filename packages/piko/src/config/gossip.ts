// The settings of gossip: its port, its limits and its keys.

import type { AddressRanges } from "../base/address-ranges.js";
import { parseSecretKey } from "../base/secret-key.js";
import { type Field, type Section, section } from "./declaration.js";
import { address, bytes, choice, duration, files, optionalAddress, strings } from "./fields.js";
import { addressRanges, bytesLimit } from "./limit-fields.js";
import type { PortConfig } from "./port.js";

/** What is sent and what is accepted: plain and plain; plain and both; encrypted and both; encrypted and encrypted. */
export type GossipEncryption = "off" | "accept" | "prefer" | "required";

/** The protocol by which nodes find each other. */
export interface GossipConfig extends PortConfig {
  readonly intervalMs: number;
  readonly maxPacketSize: number;
  readonly maxStateBytes: number;
  readonly encryption: GossipEncryption;
  /** Each has 32 bytes, in base64. */
  readonly secretKeys: readonly string[];
  /** Paths of files with one key each. */
  readonly secretKeyFiles: readonly string[];
  readonly maxClockSkewMs: number;
  /** Empty for all. */
  readonly allowedCidrs: AddressRanges;
}

/** Room in a packet for the longest endpoint id and for what encryption adds. */
const MIN_ENCRYPTED_PACKET_BYTES = 640;

/** Declares the settings of the gossip port. `inferred` describes the default of its advertised address. */
export function gossip(inferred: string): Section<GossipConfig> {
  return section<GossipConfig>(
    "The gossip port (UDP and TCP), over which nodes find each other.",
    {
      bindAddr: address(":8003", "Address to listen on for gossip."),
      advertiseAddr: optionalAddress(`Address that other nodes gossip with. ${inferred}`),
      intervalMs: duration(
        "100ms",
        "Time between gossip rounds. A node that doesn't answer is considered unreachable after 30 rounds.",
        { min: "1ms" },
      ),
      maxPacketSize: bytes(1_400, "Maximum size of a datagram to send.", { min: 512, max: 65_507 }),
      maxStateBytes: bytesLimit(
        128 * 1_024 * 1_024,
        "Maximum memory for the state of other nodes: at least 400 bytes per endpoint and node. A single node gets a quarter at most. Endpoints that don't fit can't be reached through this node. 0 is no limit.",
      ),
      encryption: choice(
        ["off", "accept", "prefer", "required"],
        "off",
        "Whether gossip is encrypted, so that only nodes with a key take part. `off` sends and accepts plain gossip, as Go nodes do; `accept` sends plain and accepts both; `prefer` sends encrypted and accepts both; `required` sends and accepts encrypted only. Move a cluster from one mode to the next in this order, without skipping any. Only `required` keeps others out.",
      ),
      secretKeys: keys(
        "Keys for encrypted gossip, 32 random bytes in base64 each. The first key encrypts, all of them decrypt. To replace a key: add the new one on every node, move it to the front, then remove the old one.",
      ),
      secretKeyFiles: files(
        "Files with one key each, instead of secret_keys. The files are watched: changes apply without a restart.",
      ),
      maxClockSkewMs: duration(
        "1m0s",
        "Maximum clock difference between two nodes with encrypted gossip. Messages are remembered for this long to detect replays.",
        { min: "1s" },
      ),
      allowedCidrs: addressRanges(
        "Addresses and networks to exchange gossip with, such as 10.0.0.0/8. Packets and connections from other addresses are dropped unread, and nothing is sent to them. Empty: all.",
      ),
    },
    ({ encryption, maxPacketSize, secretKeyFiles, secretKeys }, report) => {
      if (secretKeys.length > 0 && secretKeyFiles.length > 0)
        report(["secretKeyFiles"], "can't be set together with secret_keys");
      if (encryption === "off") return;
      if (secretKeys.length + secretKeyFiles.length === 0)
        report(["encryption"], `${encryption} needs secret_keys or secret_key_files`);
      if (maxPacketSize < MIN_ENCRYPTED_PACKET_BYTES) {
        const minimum = `must be at least ${MIN_ENCRYPTED_PACKET_BYTES} where gossip is encrypted`;
        report(["maxPacketSize"], `${maxPacketSize} is too small: ${minimum}`);
      }
    },
  );
}

/** Keys as text that is never shown. */
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
