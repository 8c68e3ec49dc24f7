// A client on bare sockets that costs little compared with what it tests: it sends bytes and knows where a response ends.

import { connect } from "node:net";

/** Longer bodies are counted, not kept. */
const MAX_KEPT = 65_536;

/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {string} head
 * @property {number} bodyBytes
 */

export class Client {
  /** Whether the connection is closed, or the server has ended it or announced that it will. */
  ended = false;
  /** @type {Promise<void>} */
  end;
  #socket;
  #buffer = Buffer.alloc(0);
  /** Remaining bytes of a long body, and the response that they belong to. */
  #left = 0;
  /** @type {Answer | undefined} */
  #long;
  /** @type {{ method: string, resolve: (answer: Answer | undefined) => void }[]} */
  #waiting = [];
  /** Checks whether the expected raw bytes have arrived; set while HTTP isn't spoken. @type {(() => void) | undefined} */
  #raw;

  /** @param {import("node:net").Socket} socket */
  constructor(socket) {
    this.#socket = socket;
    this.end = new Promise((resolve) => {
      const over = () => {
        this.ended = true;
        for (const { resolve: answer } of this.#waiting.splice(0)) answer(undefined);
        resolve();
      };
      socket.on("end", over);
      socket.on("close", over);
    });
    socket.on("error", () => {});
    socket.on("data", (/** @type {Buffer} */ bytes) => this.#onData(bytes));
  }

  /**
   * @param {number} port
   * @returns {Promise<Client>}
   */
  static connect(port) {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new Client(socket));
      });
    });
  }

  /**
   * Sends a request and waits for its response; undefined if the connection ends first. Interim responses are skipped.
   * @param {string} request
   * @param {string} [method]
   * @returns {Promise<Answer | undefined>}
   */
  ask(request, method = "GET") {
    if (this.ended) return Promise.resolve(undefined);
    this.#socket.write(request, "latin1");
    return new Promise((resolve) => this.#waiting.push({ method, resolve }));
  }

  /** @param {string} text */
  send(text) {
    this.#socket.write(text, "latin1");
  }

  /**
   * After a 101, or without HTTP: waits for `count` bytes, or fewer if the connection ends.
   * @param {number} count
   * @returns {Promise<string>}
   */
  read(count) {
    return new Promise((resolve) => {
      this.#raw = () => {
        if (this.#buffer.length < count && !this.ended) return;
        this.#raw = () => {};
        const bytes = this.#buffer.subarray(0, count);
        this.#buffer = this.#buffer.subarray(count);
        resolve(bytes.toString("latin1"));
      };
      void this.end.then(() => this.#raw?.());
      this.#raw();
    });
  }

  /**
   * Sends bytes and waits for the same number of bytes.
   * @param {string} text
   */
  exchange(text) {
    this.send(text);
    return this.read(text.length);
  }

  /** Waits for the first bytes of a response, or for the end. */
  firstBytes() {
    return new Promise((resolve) => {
      this.#socket.once("data", resolve);
      void this.end.then(resolve);
    });
  }

  close() {
    this.#socket.destroy();
    return this.end;
  }

  /** @param {Buffer} bytes */
  #onData(bytes) {
    if (this.#raw !== undefined) {
      this.#buffer = Buffer.concat([this.#buffer, bytes]);
      this.#raw();
      return;
    }
    if (this.#left > 0) {
      if (bytes.length < this.#left) {
        this.#left -= bytes.length;
        return;
      }
      const rest = bytes.subarray(this.#left);
      this.#left = 0;
      if (this.#long !== undefined) this.#waiting.shift()?.resolve(this.#long);
      if (rest.length === 0) return;
      this.#buffer = rest;
    } else {
      this.#buffer = this.#buffer.length === 0 ? bytes : Buffer.concat([this.#buffer, bytes]);
    }
    while (this.#buffer.length > 0 && this.#left === 0 && this.#takeAnswer());
  }

  #takeAnswer() {
    const headEnd = this.#buffer.indexOf("\r\n\r\n");
    const next = this.#waiting[0];
    if (headEnd < 0 || next === undefined) return false;
    const head = this.#buffer.toString("latin1", 0, headEnd);
    const status = Number(head.slice(9, 12));
    const start = headEnd + 4;
    if (status < 200 && status !== 101) {
      this.#buffer = this.#buffer.subarray(start);
      return true;
    }
    const bodyBytes = this.#bodyEnd(next.method, status, head, start);
    if (bodyBytes === undefined) return false;
    const answer = { status, head, bodyBytes };
    if (/\r\nconnection: *close/i.test(head)) this.ended = true;
    if (start + bodyBytes - this.#buffer.length > MAX_KEPT) {
      this.#long = answer;
      this.#left = start + bodyBytes - this.#buffer.length;
      this.#buffer = Buffer.alloc(0);
      return false;
    }
    if (this.#buffer.length < start + bodyBytes) return false;
    this.#buffer = this.#buffer.subarray(start + bodyBytes);
    this.#waiting.shift();
    next.resolve(answer);
    return true;
  }

  /**
   * @param {string} method
   * @param {number} status
   * @param {string} head
   * @param {number} start
   */
  #bodyEnd(method, status, head, start) {
    if (method === "HEAD" || status === 101 || status === 204 || status === 304) return 0;
    const length = /\r\ncontent-length: *(\d+)/i.exec(head);
    if (length !== null) return Number(length[1]);
    if (!/\r\ntransfer-encoding: *chunked/i.test(head)) throw new Error(`an answer without length: ${head}`);
    for (let at = start; ; ) {
      const lineEnd = this.#buffer.indexOf("\r\n", at);
      if (lineEnd < 0) return undefined;
      const size = Number.parseInt(this.#buffer.toString("latin1", at, lineEnd), 16);
      at = lineEnd + 2 + size + 2;
      if (at > this.#buffer.length) return undefined;
      if (size === 0) return at - start;
    }
  }
}
