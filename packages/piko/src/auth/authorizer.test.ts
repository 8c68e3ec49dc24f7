// Which tokens are answered at once, which wait, how many at a time, and how a change of keys affects them.

import { generateKeyPairSync, sign } from "node:crypto";
import { describe, expect, it } from "vitest";
import { token } from "../../../../tests/harness/tokens.js";
import { Authorizer } from "./authorizer.js";
import { EndpointPatterns } from "./endpoint-patterns.js";
import { Identity } from "./identity.js";
import type { KeySource } from "./key-source.js";
import { hmacKey, KeySet, publicKey } from "./keys.js";
import type { Refusal } from "./refusal.js";
import type { KeySeeker } from "./sought-keys.js";
import { RememberedTokens } from "./remembered-tokens.js";
import { NONE_REVOKED } from "./revoked-file.js";
import { MAX_ACTIVE } from "./verification-queue.js";
import { Verifier } from "./verifier.js";

let nowMs = 1_000_000;

/** The rig's current keys, or a fixed set. */
class RigKeys implements KeySource {
  readonly ageMs: undefined = undefined;
  readonly #rig: Rig;
  readonly #own: KeySet | undefined;

  constructor(rig: Rig, own?: KeySet) {
    this.#rig = rig;
    this.#own = own;
  }

  get keys(): KeySet | undefined {
    return this.#own ?? this.#rig.keys;
  }

  readonly fetching: undefined = undefined;

  lacks(): boolean {
    return false;
  }

  lookFor(seeker: KeySeeker): void {
    this.#rig.seekers.add(seeker);
  }

  forget(seeker: KeySeeker): void {
    this.#rig.seekers.delete(seeker);
  }

  close(): void {}
}

class Rig {
  readonly auth: Authorizer;
  /** Results of the requests that waited, in order. */
  readonly answers: string[] = [];
  keys: KeySet | undefined;
  /** The requests that wait for the key source. */
  readonly seekers = new Set<KeySeeker>();

  constructor(maxPending = 8) {
    this.auth = new Authorizer({ port: "proxy", maxPending, wallNow: () => nowMs });
  }

  static async start(secret = "k", tenantIds: readonly string[] = [], maxPending = 8): Promise<Rig> {
    const rig = new Rig(maxPending);
    rig.keys = new KeySet([await hmacKey(Buffer.from(secret))], false);
    const tenants = tenantIds.map((id) => [id, rig.verifier(id)] as const);
    rig.auth.use(rig.verifier(""), new Map(tenants));
    return rig;
  }

  verifier(tenantId: string, keys?: KeySet): Verifier {
    const source = new RigKeys(this, keys);
    return new Verifier({
      section: "proxy.auth",
      tenantId,
      audience: "",
      issuer: "",
      leewayMs: 0,
      outlivesToken: false,
      source,
      revoked: NONE_REVOKED,
      endpoints: new EndpointPatterns([]),
      wallNow: () => nowMs,
    });
  }

  /** The answer that is given at once; undefined if the request waits. */
  ask(credential: string | undefined, tenantId = ""): string | undefined {
    return this.askAs(
      { onVerified: (result) => void this.answers.push(shown(result)) },
      credential,
      tenantId,
    );
  }

  askAs(
    waiter: { onVerified: (result: Identity | Refusal) => void },
    credential?: string,
    tenantId = "",
  ): string | undefined {
    const result = this.auth.ask(credential, tenantId, waiter);
    return result === undefined ? undefined : shown(result);
  }

  /** Waits until no request is pending. */
  async settle(): Promise<void> {
    while (this.auth.pending > 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

const shown = (result: Identity | Refusal): string =>
  result instanceof Identity ? `in ${result.claims.subject}` : `${result.status} ${result.message}`;
const made = (sub: string, more: object = {}): string => `Bearer ${token("HS256", "k", { sub, ...more })}`;

const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 });
/** A set with one RSA key under each of these names. */
const keySet = (...names: string[]): KeySet =>
  new KeySet(
    names.map((name) => publicKey(rsa.publicKey, name)).filter((key) => key !== undefined),
    true,
  );

/** A credential whose token names a key; its signature is invalid. */
const naming = (kid: string, n = 0): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `Bearer ${part({ alg: "RS256", kid })}.${part({ n })}.AA`;
};

describe("a credential", () => {
  it.each([
    [undefined, "missing authorization"],
    ["", "missing authorization"],
    ["x", "invalid authorization"],
    ["Bearer", "invalid authorization"],
    ["bearer x", "unsupported auth type"],
    ["Basic x", "unsupported auth type"],
    [" x", "unsupported auth type"],
    ["Bearer ", "invalid token"],
    ["Bearer x", "invalid token"],
    [`Bearer ${"x".repeat(8_193)}`, "invalid token"],
  ])("%j: %s", async (credential, message) => {
    expect((await Rig.start()).ask(credential)).toBe(`401 ${message}`);
  });

  it("is checked after the readiness of its port, and before its tenant", async () => {
    const rig = await Rig.start("k", ["t"]);
    expect(rig.ask(undefined, "nobody")).toBe("401 missing authorization");
    expect(rig.ask(made("s"), "nobody")).toBe("401 unknown tenant");
    expect(rig.ask(made("s"))).toBe("401 unknown tenant");
    rig.keys = undefined;
    expect(rig.ask(undefined, "t")).toBe("503 authentication is not ready");
    expect(rig.ask(made("s"), "t")).toBe("503 authentication is not ready");
  });

  it("must not name a tenant if there are none", async () => {
    expect((await Rig.start()).ask(made("s"), "t")).toBe("401 unknown tenant");
  });
});

describe("a token", () => {
  it("is verified the first time, and remembered from then on", async () => {
    const rig = await Rig.start();
    expect(rig.ask(made("s"))).toBeUndefined();
    await rig.settle();
    expect(rig.answers).toEqual(["in s"]);
    expect(rig.ask(made("s"))).toBe("in s");
    expect([rig.auth.verifications, rig.auth.remembered]).toEqual([1, 1]);
  });

  it("that is invalid is checked each time", async () => {
    const rig = await Rig.start("other");
    for (const count of [1, 2]) {
      expect(rig.ask(made("s"))).toBeUndefined();
      await rig.settle();
      expect([rig.auth.verifications, rig.auth.remembered]).toEqual([count, 0]);
    }
    expect(rig.answers).toEqual(["401 invalid token", "401 invalid token"]);
  });

  it("is verified once for all concurrent requests", async () => {
    const rig = await Rig.start();
    for (let n = 0; n < 5; n++) expect(rig.ask(made("s"))).toBeUndefined();
    await rig.settle();
    expect(rig.answers).toEqual(Array.from({ length: 5 }, () => "in s"));
    expect(rig.auth.verifications).toBe(1);
  });

  it("of one tenant isn't accepted for another", async () => {
    const rig = await Rig.start("k", ["a", "b"]);
    rig.ask(made("s"), "a");
    await rig.settle();
    expect(rig.ask(made("s"), "a")).toBe("in s");
    expect(rig.ask(made("s"), "b")).toBeUndefined();
    await rig.settle();
  });

  it("is forgotten when it expires, or after a minute if it never expires", async () => {
    const rig = await Rig.start();
    const timed = made("timed", { exp: nowMs / 1_000 + 100 });
    rig.ask(timed);
    rig.ask(made("endless"));
    await rig.settle();
    const identity = rig.auth.ask(timed, "", { onVerified: () => {} }) as Identity;
    nowMs += 59_999;
    expect(rig.ask(made("endless"))).toBe("in endless");
    nowMs += 1;
    expect(rig.ask(made("endless"))).toBeUndefined();
    expect(rig.auth.isCurrent(identity)).toBe(true);
    nowMs += 40_000;
    expect(rig.auth.isCurrent(identity)).toBe(false);
    expect(rig.ask(timed)).toBeUndefined();
    await rig.settle();
    expect(rig.answers.at(-1)).toBe("401 expired token");
  });

  it("is verified again when keys change, even during its verification", async () => {
    const rig = await Rig.start();
    rig.ask(made("s"));
    await rig.settle();
    const identity = rig.auth.ask(made("s"), "", { onVerified: () => {} }) as Identity;
    let changes = 0;
    rig.auth.onChange = () => void changes++;
    rig.keys = new KeySet([await hmacKey(Buffer.from("new"))], false);
    rig.auth.changed();
    expect([changes, rig.auth.remembered, rig.auth.isCurrent(identity)]).toEqual([1, 0, false]);
    rig.ask(made("s"));
    rig.keys = new KeySet([await hmacKey(Buffer.from("k"))], false);
    rig.auth.changed();
    await rig.settle();
    expect(rig.answers.at(-1)).toBe("in s");
  });
});

describe("requests that wait", () => {
  it("are limited by max_pending, and further ones are refused", async () => {
    const rig = await Rig.start();
    const all = Array.from({ length: 10 }, (_, n) => rig.ask(made(`${n}`)));
    expect(all.filter((each) => each === undefined)).toHaveLength(8);
    expect(all.slice(8)).toEqual(Array.from({ length: 2 }, () => "503 too many tokens wait to be verified"));
    await rig.settle();
    expect(rig.answers).toHaveLength(8);
  });

  it("are verified a few per turn, even if there are thousands", async () => {
    const rig = await Rig.start("k", [], 4_000);
    const { auth } = rig;
    rig.keys = keySet("known");
    for (let n = 0; n < 2_000; n++) auth.ask(naming("known", n), "", { onVerified: () => {} });
    let before = 0;
    let max = 0;
    while (auth.pending > 0) {
      max = Math.max(max, auth.verifications - before);
      before = auth.verifications;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(auth.verifications).toBe(2_000);
    expect(max).toBeLessThanOrEqual(4 * MAX_ACTIVE);
  });

  it("aren't called after they were cancelled, and cost no verification", async () => {
    const rig = await Rig.start();
    const verified: string[] = [];
    const waiters = Array.from({ length: 8 }, (_, n) => ({ onVerified: () => void verified.push(`${n}`) }));
    waiters.forEach((waiter, n) => rig.askAs(waiter, made(`${n}`)));
    for (const waiter of waiters.slice(1)) rig.auth.cancel(waiter);
    expect(rig.auth.pending).toBe(1);
    await rig.settle();
    expect(verified).toEqual(["0"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(rig.auth.verifications).toBeLessThanOrEqual(MAX_ACTIVE);
  });
});

describe("requests that wait for an unknown key", () => {
  const BUSY = "503 too many tokens wait to be verified";
  interface Waiting {
    readonly rig: Rig;
    /** Makes the source answer; `succeeded` as in {@link KeySeeker.onSearchEnd}. */
    readonly answer: (succeeded: boolean) => void;
  }

  async function start(maxPending = 4): Promise<Waiting> {
    const rig = await Rig.start("k", [], maxPending);
    rig.keys = keySet("known");
    const answer = (succeeded: boolean): void => {
      for (const seeker of rig.seekers) seeker.onSearchEnd(succeeded);
      rig.seekers.clear();
    };
    return { rig, answer };
  }

  it("take three quarters of the places at most, and delay no others", async () => {
    const { answer, rig } = await start();
    const answers = [1, 2, 3, 4].map((n) => rig.ask(naming(`x${n}`)));
    expect(answers).toEqual([undefined, undefined, undefined, BUSY]);
    expect(rig.ask(naming("known"))).toBeUndefined();
    while (rig.answers.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect([rig.answers, rig.auth.pending]).toEqual([["401 invalid token"], 3]);
    answer(true);
    await rig.settle();
    expect(rig.answers).toHaveLength(4);
  });

  it("are limited in the same way if all have the same token", async () => {
    const { answer, rig } = await start();
    const answers = [1, 2, 3, 4].map(() => rig.ask(naming("x")));
    expect(answers).toEqual([undefined, undefined, undefined, BUSY]);
    answer(true);
    await rig.settle();
    expect(rig.ask(naming("y"))).toBeUndefined();
    answer(true);
    await rig.settle();
  });

  it("free their places when they are cancelled before the source has answered", async () => {
    const { answer, rig } = await start();
    for (let n = 0; n < 100; n++) {
      const waiter = { onVerified: (): void => void rig.answers.push("called") };
      expect(rig.askAs(waiter, naming("x", n % 3))).toBeUndefined();
      rig.auth.cancel(waiter);
      expect(rig.seekers.size).toBe(0);
    }
    expect(rig.ask(naming("x"))).toBeUndefined();
    answer(true);
    await rig.settle();
    expect(rig.answers).toEqual(["401 invalid token"]);
    expect(rig.auth.verifications).toBe(1);
  });

  it("are verified with the new key, and get a 503 if the source could not be asked", async () => {
    const { answer, rig } = await start();
    const header = Buffer.from('{"alg":"RS256","kid":"new"}').toString("base64url");
    const input = `${header}.${Buffer.from('{"sub":"s"}').toString("base64url")}`;
    const good = `Bearer ${input}.${sign("sha256", Buffer.from(input), rsa.privateKey).toString("base64url")}`;
    rig.ask(good);
    rig.keys = keySet("known", "new");
    answer(true);
    await rig.settle();
    expect(rig.answers).toEqual(["in s"]);
    rig.keys = keySet("known");
    rig.auth.changed();
    rig.ask(good);
    answer(false);
    await rig.settle();
    expect(rig.answers.at(-1)).toBe("503 authentication is not ready");
  });

  it("are answered a few per turn when all waited for the same key", async () => {
    const { answer, rig } = await start(4_000);
    for (let n = 0; n < 1_000; n++) expect(rig.ask(naming("x", n))).toBeUndefined();
    answer(true);
    let before = 0;
    let max = 0;
    while (rig.auth.pending > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      max = Math.max(max, rig.answers.length - before);
      before = rig.answers.length;
    }
    expect(rig.answers).toHaveLength(1_000);
    // Two of the queue's turns may lie between two checks here.
    expect(max).toBeLessThanOrEqual(4 * MAX_ACTIVE);
  });

  it("are judged by the settings at that time: a tenant that was removed, or has other keys", async () => {
    const rig = await Rig.start("k", ["gone", "changed"]);
    rig.ask(made("s"), "gone");
    rig.ask(made("s"), "changed");
    const other = new KeySet([await hmacKey(Buffer.from("other"))], false);
    rig.auth.use(undefined, new Map([["changed", rig.verifier("changed", other)]]));
    await rig.settle();
    expect(rig.answers.sort()).toEqual(["401 invalid token", "401 unknown tenant"]);
    expect(rig.auth.remembered).toBe(0);
  });
});

it("the number of remembered tokens is limited: the least recently used is dropped", () => {
  const remembered = new RememberedTokens(2);
  const identity = { isFresh: () => true } as unknown as Identity;
  remembered.add("a", identity);
  remembered.add("b", identity);
  remembered.find("a", 0);
  remembered.add("c", identity);
  expect(["a", "b", "c"].map((digest) => remembered.find(digest, 0) !== undefined)).toEqual([
    true,
    false,
    true,
  ]);
  expect(remembered.size).toBe(2);
});

it("a port becomes ready when all of its keys are known, and stays ready", async () => {
  const rig = await Rig.start();
  rig.keys = undefined;
  expect(rig.auth.ready).toBe(false);
  rig.keys = new KeySet([], true);
  expect(rig.auth.ready).toBe(true);
  rig.keys = undefined;
  expect(rig.auth.ready).toBe(true);
});
