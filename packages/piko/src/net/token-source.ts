// The configured token of a program for the connections that it opens: either a text, or a file that is read again for each
// connection.

import { type FileHandle, open } from "node:fs/promises";
import type { Token } from "@piko/client/internal";
import type { ClientTokenConfig } from "../config/client-token.js";

/** Nodes accept heads up to this size. */
const MAX_TOKEN_BYTES = 64 * 1024;

/** The token to connect with; undefined if there is none. */
export function tokenSource({ token, tokenFile }: ClientTokenConfig): Token | undefined {
  if (tokenFile === "") return token === "" ? undefined : token;
  let readOnce: string | undefined;
  return async () => {
    if (readOnce !== undefined) return readOnce;
    const { lasting, text } = await readTokenFile(tokenFile);
    // A pipe, such as `<(...)` of a shell, can't be read again.
    if (!lasting) readOnce = text;
    return text;
  };
}

/**
 * Reads a token from a file, without surrounding white space. `lasting` is true if it can be read again. Throws if it is invalid.
 */
async function readTokenFile(path: string): Promise<{ text: string; lasting: boolean }> {
  const buffer = Buffer.allocUnsafe(MAX_TOKEN_BYTES + 1);
  let length = 0;
  let lasting = true;
  let file: FileHandle | undefined;
  try {
    file = await open(path);
    lasting = (await file.stat()).isFile();
    for (;;) {
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      length += bytesRead;
      if (bytesRead === 0 || length === buffer.length) break;
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unreadable";
    throw new Error(`can't read ${path} (${code})`, { cause: error });
  } finally {
    await file?.close();
  }
  const text = buffer.toString("utf8", 0, length).trim();
  if (length > MAX_TOKEN_BYTES) throw new Error(`${path} is larger than ${MAX_TOKEN_BYTES} bytes`);
  if (text === "") throw new Error(`${path} is empty`);
  if (!/^[\x21-\x7e]+$/.test(text)) throw new Error(`${path} holds more than a token`);
  return { text, lasting };
}
