// Secret keys of 32 bytes, in base64, as in the configuration and in files.

/** Length of a key. */
const SECRET_KEY_BYTES = 32;

/**
 * Reads a key in base64, with or without padding; surrounding white space is ignored.
 *
 * @throws RangeError that doesn't quote the text.
 */
export function parseSecretKey(text: string): Buffer {
  const trimmed = text.trim();
  const key = Buffer.from(trimmed, "base64");
  if (!/^[A-Za-z0-9+/]{43}=?$/.test(trimmed) || key.length !== SECRET_KEY_BYTES)
    throw new RangeError(`must be a key: ${SECRET_KEY_BYTES} bytes in base64`);
  return key;
}
