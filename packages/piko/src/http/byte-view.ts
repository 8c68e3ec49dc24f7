// Memory as words, for the loops that look at many bytes of a request: four at a time instead of one.

const NOTHING: DataView = new DataView(new ArrayBuffer(0));

/** Of the memory that was looked at last: nearly all is read into the same. */
let lastView = NOTHING;

/** The whole memory that `bytes` are in, which begins `byteOffset` before them. */
export function viewOf({ buffer }: Uint8Array): DataView {
  if (buffer !== lastView.buffer) lastView = new DataView(buffer);
  return lastView;
}
