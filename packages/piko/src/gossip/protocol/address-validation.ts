// Limits what is sent to addresses that may be invented. The sender of a datagram is easily forged, and so is what a digest
// says about others. So an address gets at most three times the bytes received from it, as in QUIC (RFC 9000, 8.1), until a TCP
// connection has shown that it is real. An address known only from others gets three probes, and later one occasionally.

/** Bytes that may be sent to an address for each byte received from it. */
const AMPLIFICATION = 3;
/** Probes that may be sent at once to an address known only from others, and intervals until the next one. */
const QUESTIONS = 3;
const QUESTION_PAUSE = 40;
/** The same for all addresses of one host: at once, and per interval. */
const HOST_QUESTIONS = 64;
const HOST_QUESTIONS_PER_INTERVAL = 2;
/** Addresses to remember of each kind; the oldest are dropped first. */
const CAPACITY = 8_192;

interface Unvalidated {
  /** Bytes that may be sent. */
  credit: number;
  questions: number;
  askedAt: number;
}

interface Host {
  questions: number;
  at: number;
}

/** What one node knows about addresses. */
export class AddressValidation {
  readonly #now: () => number;
  readonly #intervalMs: number;
  readonly #validated = new Set<string>();
  readonly #unvalidated = new Map<string, Unvalidated>();
  readonly #hosts = new Map<string, Host>();

  constructor(now: () => number, intervalMs: number) {
    this.#now = now;
    this.#intervalMs = intervalMs;
  }

  isValidated(addr: string): boolean {
    return this.#validated.has(addr);
  }

  /** The address is real: its host opened a TCP connection to this node, or accepted one from it. */
  validate(addr: string): void {
    this.#unvalidated.delete(addr);
    this.#validated.add(addr);
    dropOldest(this.#validated);
  }

  /** A datagram came from the address, or seems to have. */
  received(addr: string, bytes: number): void {
    if (!this.#validated.has(addr)) this.#find(addr, 0).credit += AMPLIFICATION * bytes;
  }

  /** Bytes that may be sent to the address now. */
  allowance(addr: string): number {
    if (this.#validated.has(addr)) return Number.POSITIVE_INFINITY;
    return this.#unvalidated.get(addr)?.credit ?? 0;
  }

  /** Records that bytes are sent. */
  spend(addr: string, bytes: number): void {
    const known = this.#unvalidated.get(addr);
    if (known !== undefined) known.credit -= bytes;
  }

  /** Uses up one of the probes allowed for an address known only from others; returns whether there was one. */
  takeQuestion(addr: string): boolean {
    const now = this.#now();
    const known = this.#find(addr, QUESTIONS);
    if (known.questions === 0 && now - known.askedAt >= QUESTION_PAUSE * this.#intervalMs)
      known.questions = 1;
    if (known.questions === 0 || !this.#takeHostQuestion(addr, now)) return false;
    known.questions -= 1;
    known.askedAt = now;
    return true;
  }

  #takeHostQuestion(addr: string, now: number): boolean {
    const name = addr.slice(0, addr.lastIndexOf(":"));
    const host = this.#hosts.get(name) ?? { questions: HOST_QUESTIONS, at: now };
    const intervals = (now - host.at) / this.#intervalMs;
    host.questions = Math.min(HOST_QUESTIONS, host.questions + intervals * HOST_QUESTIONS_PER_INTERVAL);
    host.at = now;
    this.#hosts.set(name, host);
    dropOldest(this.#hosts);
    if (host.questions < 1) return false;
    host.questions -= 1;
    return true;
  }

  #find(addr: string, questions: number): Unvalidated {
    let known = this.#unvalidated.get(addr);
    if (known === undefined) {
      known = { credit: 0, questions, askedAt: this.#now() };
      this.#unvalidated.set(addr, known);
      dropOldest(this.#unvalidated);
    }
    return known;
  }
}

function dropOldest(addresses: Set<string> | Map<string, unknown>): void {
  if (addresses.size <= CAPACITY) return;
  for (const oldest of addresses.keys()) {
    addresses.delete(oldest);
    return;
  }
}
