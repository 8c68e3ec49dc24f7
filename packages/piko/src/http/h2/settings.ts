// SETTINGS (RFC 9113 section 6.5): which values are valid, and what they mean.

import type { ConnectionLimits, H2Limits } from "./connection-events.js";
import { type ConnectionError, connectionError, FLOW_CONTROL_ERROR, PROTOCOL_ERROR } from "./error-codes.js";
import { MAX_31_BITS, MAX_FRAME_BYTES, read32 } from "./frame.js";

export const HEADER_TABLE_SIZE = 0x1;
export const ENABLE_PUSH = 0x2;
export const MAX_CONCURRENT_STREAMS = 0x3;
export const INITIAL_WINDOW_SIZE = 0x4;
export const MAX_FRAME_SIZE = 0x5;
export const MAX_HEADER_LIST_SIZE = 0x6;
/** Defined in RFC 8441. */
export const ENABLE_CONNECT_PROTOCOL = 0x8;

/** A server's initial settings: pairs of identifier and value. */
export function serverSettings(limits: H2Limits): readonly (readonly [id: number, value: number])[] {
  return [
    [HEADER_TABLE_SIZE, limits.maxHeaderTableBytes],
    [MAX_CONCURRENT_STREAMS, limits.maxConcurrentStreams],
    [INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
    [MAX_HEADER_LIST_SIZE, limits.maxHeaderBytes],
    [ENABLE_CONNECT_PROTOCOL, 1],
  ];
}

/** A client's initial settings. */
export function clientSettings(limits: ConnectionLimits): readonly (readonly [id: number, value: number])[] {
  return [
    [HEADER_TABLE_SIZE, limits.maxHeaderTableBytes],
    [ENABLE_PUSH, 0],
    [INITIAL_WINDOW_SIZE, limits.streamWindowBytes],
    [MAX_HEADER_LIST_SIZE, limits.maxHeaderBytes],
  ];
}

/** Length of one setting. */
export const SETTING_BYTES = 6;
const LARGEST_FRAME_BYTES = 0xff_ffff;

const BAD_PUSH = connectionError(PROTOCOL_ERROR, "enable_push is neither 0 nor 1");
const BAD_WINDOW = connectionError(FLOW_CONTROL_ERROR, "initial window above 2^31-1");
const BAD_FRAME_SIZE = connectionError(PROTOCOL_ERROR, "max_frame_size out of range");

/** Why a payload is invalid; undefined if it is valid. */
export function settingsError(buffer: Buffer, start: number, end: number): ConnectionError | undefined {
  for (let at = start; at < end; at += SETTING_BYTES) {
    const value = read32(buffer, at + 2);
    switch (buffer.readUInt16BE(at)) {
      case ENABLE_PUSH:
        if (value > 1) return BAD_PUSH;
        break;
      case INITIAL_WINDOW_SIZE:
        if (value > MAX_31_BITS) return BAD_WINDOW;
        break;
      case MAX_FRAME_SIZE:
        if (value < MAX_FRAME_BYTES || value > LARGEST_FRAME_BYTES) return BAD_FRAME_SIZE;
        break;
    }
  }
  return undefined;
}

/** The last value that a payload has for a setting, or -1. */
export function settingOf(buffer: Buffer, start: number, end: number, id: number): number {
  let value = -1;
  for (let at = start; at < end; at += SETTING_BYTES) {
    if (buffer.readUInt16BE(at) === id) value = read32(buffer, at + 2);
  }
  return value;
}
