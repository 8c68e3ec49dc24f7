// Tunnel frames made by hand, for tests that send what no tunnel library would: WebSocket frames of a client, and yamux
// frames.

import { RawClient } from "./raw-client.js";
import type { Stage } from "./stage.js";

const MASK = Buffer.from([1, 2, 3, 4]);

/**
 * One masked frame. `first` is its first byte (FIN, reserved bits, opcode), by default that of an unfragmented binary
 * message.
 */
export function clientFrame(payload: Buffer, first = 0x82): Buffer {
  const masked = Buffer.from(payload);
  for (let i = 0; i < masked.length; i++) masked[i] = (masked[i] ?? 0) ^ (MASK[i & 3] ?? 0);
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10);
  head[0] = first;
  if (head.length === 2) head[1] = 0x80 | payload.length;
  else if (head.length === 4) {
    head[1] = 0x80 | 126;
    head.writeUInt16BE(payload.length, 2);
  } else {
    head[1] = 0x80 | 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  return Buffer.concat([head, MASK, masked]);
}

/** A yamux header. Types: 0 data, 1 window update, 2 ping, 3 go away. Flags: 1 SYN, 2 ACK, 4 FIN, 8 RST. */
export function yamuxFrame(type: number, flags: number, stream: number, length: number): Buffer {
  const frame = Buffer.alloc(12);
  frame[1] = type;
  frame.writeUInt16BE(flags, 2);
  frame.writeUInt32BE(stream, 4);
  frame.writeUInt32BE(length, 8);
  return frame;
}

/** Opens a tunnel as an agent does, and leaves the rest to the test. */
export async function openTunnel(stage: Stage, upstream: string, endpoint: string): Promise<RawClient> {
  const client = await RawClient.connect(stage, upstream);
  client.send(
    `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\nHost: ${upstream}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n",
  );
  const { status } = await client.response();
  if (status !== 101) throw new Error(`the tunnel was refused with ${status}`);
  return client;
}
