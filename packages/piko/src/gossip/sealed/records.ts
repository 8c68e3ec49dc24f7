// Sealed messages over TCP. They may be many megabytes long, so they are cut into records, each an envelope after its length:
//
//   C1 70 6B 21 | length and whether it is the last (4) | envelope | length (4) | envelope | ...
//
// Each record also authenticates its role (request or answer), its index, and the request that it belongs to. So the records of
// one message can't be left out, moved or replaced by others, and an answer answers its own request only.

import { GossipError } from "../wire/errors.js";
import {
  ENVELOPE_BYTES,
  type EnvelopeHeader,
  KIND_RECORD,
  LIFE_ID_BYTES,
  MAGIC,
  type MessageId,
  isSealed,
} from "./envelope.js";
import type { Opened, Opener } from "./opener.js";
import type { Sealer } from "./sealer.js";

/** Maximum bytes of a message in one record. */
export const RECORD_BYTES: number = 64 * 1_024;
/** First bytes of a message in records. */
export const PREAMBLE: Buffer = Buffer.concat([MAGIC, Buffer.from([0x21])]);

const PREFIX_BYTES = 4;
const LAST = 0x80_00_00_00;
/** Bytes that a record adds to its content. */
export const RECORD_OVERHEAD_BYTES: number = PREFIX_BYTES + ENVELOPE_BYTES;
/** Whether a record belongs to a request or an answer. */
const REQUEST = 1;
const ANSWER = 2;
const BINDING_BYTES = 1 + 4 + LIFE_ID_BYTES + 6 + 6;
const NOTHING: Buffer = Buffer.alloc(0);

/** The position of a record. */
export interface RecordPlace {
  readonly start: number;
  readonly end: number;
  readonly last: boolean;
}

/**
 * Finds the record that begins at `start`; undefined while it isn't complete within `bytes[0..end)`.
 *
 * @throws GossipError if the length is invalid.
 */
export function findRecord(bytes: Buffer, start: number, end: number): RecordPlace | undefined {
  if (end - start < PREFIX_BYTES) return undefined;
  const prefix = bytes.readUInt32BE(start);
  const last = prefix >= LAST;
  const length = last ? prefix - LAST : prefix;
  if (length < ENVELOPE_BYTES || length > ENVELOPE_BYTES + RECORD_BYTES)
    throw new GossipError("PIKO_GOSSIP_BAD_MESSAGE", `a record of ${length} bytes`);
  const recordEnd = start + PREFIX_BYTES + length;
  return recordEnd > end ? undefined : { start, end: recordEnd, last };
}

/** Whether a message over TCP is sealed and has a version that this node knows; undefined while too few bytes have arrived. */
export function isInRecords(bytes: Buffer, end: number): boolean | undefined {
  const begun = Math.min(end, PREAMBLE.length);
  if (PREAMBLE.compare(bytes, 0, begun, 0, begun) !== 0) return false;
  return end < PREAMBLE.length ? undefined : true;
}

/** Seals a request; `id` is what its answer has to be bound to. */
export function sealRequest(sealer: Sealer, request: Buffer): { bytes: Buffer; id: MessageId } {
  const id = sealer.next();
  const sealed = [PREAMBLE];
  for (let at = 0, index = 0; at < request.length || index === 0; at += RECORD_BYTES, index++) {
    const text = request.subarray(at, at + RECORD_BYTES);
    const last = at + RECORD_BYTES >= request.length;
    const binding = bind(REQUEST, index, index === 0 ? undefined : id);
    sealed.push(sealRecord(sealer, index === 0 ? id : sealer.next(), text, last, binding));
  }
  return { bytes: Buffer.concat(sealed), id };
}

/** Seals an answer as its pieces are produced. An empty answer means that the request's clock is off. */
export function* sealAnswer(
  sealer: Sealer,
  question: MessageId,
  pieces: Iterator<Buffer>,
): Generator<Buffer, undefined> {
  yield PREAMBLE;
  let index = 0;
  for (let piece = pieces.next(); piece.done !== true; piece = pieces.next()) {
    for (let at = 0; at < piece.value.length; at += RECORD_BYTES) {
      const text = piece.value.subarray(at, at + RECORD_BYTES);
      yield sealRecord(sealer, sealer.next(), text, false, bind(ANSWER, index++, question));
    }
  }
  yield sealRecord(sealer, sealer.next(), NOTHING, true, bind(ANSWER, index, question));
}

/**
 * Opens the records of a request as they arrive. The first one decides whether the request is accepted, and the others are
 * bound to it. So no more than one record is buffered for a peer without a key, or one that replays another's request.
 */
export class RequestRecords {
  readonly #opener: Opener;
  readonly #pieces: Buffer[] = [];
  #at: number = PREAMBLE.length;
  #first: EnvelopeHeader | undefined;
  #refusal: Opened | undefined;

  constructor(opener: Opener) {
    this.#opener = opener;
  }

  /** Continues in a longer buffer, after the preamble: the end of the request once it is found, or of a record that is refused. */
  find(bytes: Buffer, end: number): number | undefined {
    for (;;) {
      const place = findRecord(bytes, this.#at, end);
      if (place === undefined) return undefined;
      this.#at = place.end;
      const opened = this.#open(bytes, place);
      if (!opened.ok) {
        this.#refusal = opened;
        return place.end;
      }
      this.#pieces.push(opened.text);
      if (place.last) return place.end;
    }
  }

  /** The request; valid once its end has been found. */
  get opened(): Opened {
    if (this.#refusal !== undefined || this.#first === undefined) return this.#refusal ?? MALFORMED;
    const [piece = NOTHING, ...more] = this.#pieces;
    const text = more.length === 0 ? piece : Buffer.concat(this.#pieces);
    return { ok: true, header: this.#first, text };
  }

  #open(bytes: Buffer, place: RecordPlace): Opened {
    const first = this.#first;
    const opened = openRecord(this.#opener, bytes, place, bind(REQUEST, this.#pieces.length, first));
    if (!opened.ok) return opened;
    if (first !== undefined) return opened.header.lifeId.equals(first.lifeId) ? opened : MALFORMED;
    // Copied, because its bytes may be in a buffer that is replaced by a longer one.
    this.#first = { ...opened.header, lifeId: Buffer.from(opened.header.lifeId) };
    return this.#opener.admit(this.#first, opened.text);
  }
}

/** Opens the records of an answer as they arrive. */
export class AnswerRecords {
  readonly #opener: Opener;
  readonly #question: MessageId;
  readonly #pieces: Buffer[] = [];
  #at: number = PREAMBLE.length;
  #header: EnvelopeHeader | undefined;

  constructor(opener: Opener, question: MessageId) {
    this.#opener = opener;
    this.#question = question;
  }

  /** Header of the last record; set once the answer is complete. */
  get header(): EnvelopeHeader | undefined {
    return this.#header;
  }

  get text(): Buffer {
    return this.#pieces.length === 1 ? (this.#pieces[0] ?? NOTHING) : Buffer.concat(this.#pieces);
  }

  /** Continues in a longer buffer, after the preamble: the answer's end once it is found, or why the answer is invalid. */
  find(bytes: Buffer, end: number): number | "key" | "malformed" | undefined {
    for (let index = this.#pieces.length; ; index++) {
      const place = findRecord(bytes, this.#at, end);
      if (place === undefined) return undefined;
      const opened = openRecord(this.#opener, bytes, place, bind(ANSWER, index, this.#question));
      if (!opened.ok) return opened.reason === "key" ? "key" : "malformed";
      this.#pieces.push(opened.text);
      this.#at = place.end;
      this.#header = opened.header;
      if (place.last) return place.end;
    }
  }
}

const MALFORMED: Opened = { ok: false, reason: "malformed" };

function sealRecord(sealer: Sealer, id: MessageId, text: Buffer, last: boolean, binding: Buffer): Buffer {
  const prefix = Buffer.allocUnsafe(PREFIX_BYTES);
  prefix.writeUInt32BE(ENVELOPE_BYTES + text.length + (last ? LAST : 0));
  return sealer.seal(id, KIND_RECORD, text, prefix, binding);
}

function openRecord(opener: Opener, bytes: Buffer, { start, end }: RecordPlace, binding: Buffer): Opened {
  const record = bytes.subarray(start, end);
  if (!isSealed(record.subarray(PREFIX_BYTES))) return MALFORMED;
  return opener.authenticate(record, KIND_RECORD, PREFIX_BYTES, binding);
}

function bind(role: number, index: number, question: MessageId | undefined): Buffer {
  const binding = Buffer.alloc(BINDING_BYTES);
  binding[0] = role;
  binding.writeUInt32BE(index, 1);
  if (question !== undefined) {
    question.lifeId.copy(binding, 5);
    binding.writeUIntBE(question.timeMs, 5 + LIFE_ID_BYTES, 6);
    binding.writeUIntBE(question.counter, 11 + LIFE_ID_BYTES, 6);
  }
  return binding;
}
