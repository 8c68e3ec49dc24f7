// Yamux frames as tests write and read them: an encoder and a decoder that share no code with the package.

export interface Frame {
  type: "data" | "window" | "ping" | "goaway";
  /** Letters of the flags that are set, in the order SYN, ACK, FIN, RST: "S", "A", "F", "R". */
  flags: string;
  id: number;
  /** Length, delta, ping id or code. */
  value: number;
  payload: Buffer;
}

const TYPES = ["data", "window", "ping", "goaway"] as const;

/** Encodes one frame. Data frames take their length from `payload`. */
export function encode(type: Frame["type"], flags: string, id: number, value: number | Buffer): Buffer {
  const payload = typeof value === "number" ? Buffer.alloc(0) : value;
  const frame = Buffer.alloc(12);
  const view = new DataView(frame.buffer, frame.byteOffset, 12);
  view.setUint8(1, TYPES.indexOf(type));
  view.setUint16(
    2,
    [..."SAFR"].reduce((sum, flag, i) => sum + (flags.includes(flag) ? 1 << i : 0), 0),
  );
  view.setUint32(4, id);
  view.setUint32(8, typeof value === "number" ? value : value.length);
  return Buffer.concat([frame, payload]);
}

/** Decodes all frames of `bytes`, which must end with a whole frame. */
export function decode(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, 12);
    const type = TYPES[view.getUint8(1)];
    if (view.getUint8(0) !== 0 || type === undefined)
      throw new Error(`not a frame: ${bytes.toString("hex", at)}`);
    const bits = view.getUint16(2);
    const flags = [..."SAFR"].filter((_, i) => (bits & (1 << i)) !== 0).join("");
    const value = view.getUint32(8);
    const end = at + 12 + (type === "data" ? value : 0);
    if (end > bytes.length) throw new Error("the bytes end inside a frame");
    frames.push({ type, flags, id: view.getUint32(4), value, payload: bytes.subarray(at + 12, end) });
    at = end;
  }
  return frames;
}

/** Frames in short form: `window S 2 0`, `data 2 5`. */
export function brief(bytes: Buffer): string[] {
  return decode(bytes).map(({ type, flags, id, value }) =>
    [type, flags, id, value].filter((part) => part !== "").join(" "),
  );
}
