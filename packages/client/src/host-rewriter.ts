// Replaces the Host in the request head with which a connection of an endpoint begins. Nodes open a connection for each request
// and declare that in its head (`Connection: close`), so the first head is the only one.

const CRLF = "\r\n";
const END = Buffer.from("\r\n\r\n", "latin1");

export class HostRewriter {
  readonly #host: string;
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #tail: Buffer = Buffer.alloc(0);

  /** `maxBytes`: a longer head, or anything that isn't a head, is passed on unchanged. */
  constructor(host: string, maxBytes: number) {
    this.#host = host;
    this.#maxBytes = maxBytes;
  }

  /** Adds received bytes. Returns all bytes so far, with the host replaced, once the head is complete; undefined until then. */
  push(bytes: Buffer): Buffer | undefined {
    this.#pieces.push(bytes);
    this.#bytes += bytes.length;
    // The blank line may be split between chunks.
    const seam = Buffer.concat([this.#tail, bytes]);
    this.#tail = seam.subarray(-3);
    if (!seam.includes(END) && this.#bytes <= this.#maxBytes) return undefined;
    return this.#rewrite(this.rest());
  }

  /** The bytes that were held back, unchanged. */
  rest(): Buffer {
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [];
    this.#bytes = 0;
    return all;
  }

  #rewrite(all: Buffer): Buffer {
    const end = all.indexOf(END);
    if (end < 0) return all;
    const [requestLine = "", ...fields] = all.toString("latin1", 0, end).split(CRLF);
    const others = fields.filter((field) => !/^host[ \t]*:/i.test(field));
    const head = [requestLine, `Host: ${this.#host}`, ...others].join(CRLF);
    return Buffer.concat([Buffer.from(head, "latin1"), all.subarray(end)]);
  }
}
