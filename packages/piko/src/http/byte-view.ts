// Access to memory in 32-bit words, for loops that look at many bytes of a request: four at a time instead of one.

const NOTHING: DataView = new DataView(new ArrayBuffer(0));

/** The view of the memory used last: nearly all requests are read into the same memory. */
let lastView = NOTHING;

/** A view of the whole ArrayBuffer that contains `bytes`, which begin at offset `byteOffset` in it. */
export function viewOf({ buffer }: Uint8Array): DataView {
  if (buffer !== lastView.buffer) lastView = new DataView(buffer);
  return lastView;
}
