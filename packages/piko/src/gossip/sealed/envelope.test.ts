import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ENVELOPE_BYTES,
  HEADER_BYTES,
  KIND_PACKET,
  KIND_RECORD,
  isSealed,
  openEnvelope,
  readHeader,
  sealEnvelope,
} from "./envelope.js";
import { createGossipKey, deriveLifeKey } from "./gossip-key.js";

const SECRET = Buffer.from("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "hex");
const LIFE = Buffer.from("a0a1a2a3a4a5a6a7a8a9aaabacadaeaf", "hex");
const key = createGossipKey(SECRET);
const lifeKey = deriveLifeKey(key, LIFE, "piko");
const header = {
  kind: KIND_PACKET,
  keyId: key.id,
  lifeId: LIFE,
  timeMs: 0x01_93_70_00_00_01,
  counter: 7,
} as const;

/** Does the same with WebCrypto, starting from the secret. */
async function sealByWebCrypto(text: Buffer, name = "piko"): Promise<string> {
  const { subtle } = globalThis.crypto;
  const hkdf = async (info: string, salt: Buffer, bytes: number): Promise<Buffer> => {
    const secret = await subtle.importKey("raw", SECRET, "HKDF", false, ["deriveBits"]);
    const params = { name: "HKDF", hash: "SHA-256", salt, info: Buffer.from(info) };
    return Buffer.from(await subtle.deriveBits(params, secret, bytes * 8));
  };
  const id = await hkdf("piko gossip 1 key id", Buffer.alloc(0), 4);
  const nonce = Buffer.from("019370000001000000000007", "hex");
  const head = Buffer.concat([Buffer.from("c1706b01", "hex"), id, LIFE, nonce]);
  const raw = await hkdf(`piko gossip 1${name}`, LIFE, 32);
  const aes = await subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt"]);
  const sealed = await subtle.encrypt({ name: "AES-GCM", iv: nonce, additionalData: head }, aes, text);
  return Buffer.concat([head, Buffer.from(sealed)]).toString("hex");
}

describe("an envelope", () => {
  it("has exactly these bytes, which other implementations produce, too", async () => {
    const sealed = sealEnvelope(header, lifeKey, Buffer.from("gossip"));
    expect(sealed.toString("hex")).toBe(
      "c1706b01" + // magic, kind and version
        "de7f5c24" + // key id
        "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf" + // life id
        "019370000001" + // time
        "000000000007" + // counter
        "85c07625ff2e78ac64358c1d33205781ebfbde1e0e26", // ciphertext and tag
    );
    expect(sealed.toString("hex")).toBe(await sealByWebCrypto(Buffer.from("gossip")));
  });

  it("opens to what was sealed, whatever its content", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 3_000 }),
        fc.uint8Array({ maxLength: 8 }),
        fc.uint8Array({ maxLength: 40 }),
        fc.integer({ min: 0, max: 2 ** 48 - 1 }),
        fc.integer({ min: 1, max: 2 ** 48 - 1 }),
        (text, before, binding, timeMs, counter) => {
          const full = { ...header, kind: KIND_RECORD, timeMs, counter };
          const sealed = sealEnvelope(
            full,
            lifeKey,
            Buffer.from(text),
            Buffer.from(before),
            Buffer.from(binding),
          );
          expect(sealed.length).toBe(before.length + ENVELOPE_BYTES + text.length);
          expect(readHeader(sealed.subarray(before.length), KIND_RECORD)).toEqual(full);
          const opened = openEnvelope(sealed, lifeKey, before.length, Buffer.from(binding));
          expect(opened?.equals(Buffer.from(text))).toBe(true);
        },
      ),
    );
  });

  it("doesn't open when any bit of it has changed", () => {
    const sealed = sealEnvelope(header, lifeKey, Buffer.from("some text"), Buffer.from([1, 2, 3, 4]));
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const changed = Buffer.from(sealed);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(openEnvelope(changed, lifeKey, 4)).toBeUndefined();
    }
  });

  it("doesn't open when it was cut or extended", () => {
    const sealed = sealEnvelope(header, lifeKey, Buffer.from("some text"));
    for (let length = ENVELOPE_BYTES; length < sealed.length; length++)
      expect(openEnvelope(sealed.subarray(0, length), lifeKey)).toBeUndefined();
    expect(openEnvelope(Buffer.concat([sealed, Buffer.from([0])]), lifeKey)).toBeUndefined();
  });

  it.each([
    ["another secret", deriveLifeKey(createGossipKey(Buffer.alloc(32, 1)), LIFE, "piko")],
    ["another life", deriveLifeKey(key, Buffer.alloc(16, 1), "piko")],
    ["another cluster", deriveLifeKey(key, LIFE, "other")],
  ])("doesn't open with the key of %s", (_what, other) => {
    const sealed = sealEnvelope(header, lifeKey, Buffer.from("some text"));
    expect(openEnvelope(sealed, other)).toBeUndefined();
  });

  it("doesn't open with another binding", () => {
    const sealed = sealEnvelope(header, lifeKey, Buffer.from("x"), Buffer.alloc(0), Buffer.from("a"));
    expect(openEnvelope(sealed, lifeKey, 0, Buffer.from("b"))).toBeUndefined();
    expect(openEnvelope(sealed, lifeKey)).toBeUndefined();
  });

  it("isn't recognized when it is short, of another kind or version, or something else", () => {
    const sealed = sealEnvelope(header, lifeKey, Buffer.alloc(0));
    expect(sealed.length).toBe(ENVELOPE_BYTES);
    expect(readHeader(sealed, KIND_PACKET)).toBeDefined();
    expect(readHeader(sealed, KIND_RECORD)).toBeUndefined();
    expect(readHeader(sealed.subarray(0, HEADER_BYTES), KIND_PACKET)).toBeUndefined();
    const version2 = Buffer.from(sealed);
    version2[3] = 0x02;
    expect(readHeader(version2, KIND_PACKET)).toBeUndefined();
    expect(isSealed(version2)).toBe(true);
    for (const type of [1, 2, 3, 4]) expect(isSealed(Buffer.from([type, 0]))).toBe(false);
  });
});
