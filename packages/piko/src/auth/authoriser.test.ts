// Who is let in at once, who waits, how many at a time, and what a change of keys means for them.

import { describe, expect, it } from "vitest";
import { token } from "../../../../tests/harness/tokens.js";
import { Authoriser } from "./authoriser.js";
import { EndpointPatterns } from "./endpoint-patterns.js";
import { Identity } from "./identity.js";
import type { KeySource } from "./key-source.js";
import { hmacKey, KeySet } from "./keys.js";
import type { Refusal } from "./refusal.js";
import { RememberedTokens } from "./remembered-tokens.js";
import { NONE_REVOKED } from "./revoked-file.js";
import { MAX_ACTIVE } from "./verification-queue.js";
import { Verifier } from "./verifier.js";

let nowMs = 1_000_000;

/** The keys that the rig has at the moment. */
class RigKeys implements KeySource {
  readonly ageMs: undefined = undefined;
  readonly #rig: Rig;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  get keys(): KeySet | undefined {
    return this.#rig.keys;
  }

  refresh(): Promise<void> {
    return this.#rig.refreshed;
  }

  close(): void {}
}

class Rig {
  readonly auth = new Authoriser({ port: "proxy", maxPending: 8, wallNow: () => nowMs });
  /** Answers of those that have waited, in order. */
  readonly answers: string[] = [];
  keys: KeySet | undefined;
  refreshed: Promise<void> = Promise.resolve();

  static async start(secret = "k", tenantIds: readonly string[] = []): Promise<Rig> {
    const rig = new Rig();
    rig.keys = new KeySet([await hmacKey(Buffer.from(secret))], false);
    const tenants = tenantIds.map((id) => [id, rig.verifier(id)] as const);
    rig.auth.use(rig.verifier(""), new Map(tenants));
    return rig;
  }

  verifier(tenantId: string): Verifier {
    const source = new RigKeys(this);
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

  /** What is answered at once; undefined for those that wait. */
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

  /** Waits until nobody waits. */
  async settle(): Promise<void> {
    while (this.auth.pending > 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

const shown = (result: Identity | Refusal): string =>
  result instanceof Identity ? `in ${result.claims.subject}` : `${result.status} ${result.message}`;
const made = (sub: string, more: object = {}): string => `Bearer ${token("HS256", "k", { sub, ...more })}`;

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

  it("is judged behind the readiness of its port, and before its tenant", async () => {
    const rig = await Rig.start("k", ["t"]);
    expect(rig.ask(undefined, "nobody")).toBe("401 missing authorization");
    expect(rig.ask(made("s"), "nobody")).toBe("401 unknown tenant");
    expect(rig.ask(made("s"))).toBe("401 unknown tenant");
    rig.keys = undefined;
    expect(rig.ask(undefined, "t")).toBe("503 authentication is not ready");
    expect(rig.ask(made("s"), "t")).toBe("503 authentication is not ready");
  });

  it("names a tenant where there are none", async () => {
    expect((await Rig.start()).ask(made("s"), "t")).toBe("401 unknown tenant");
  });
});

describe("a token", () => {
  it("waits the first time, and is known from then on", async () => {
    const rig = await Rig.start();
    expect(rig.ask(made("s"))).toBeUndefined();
    await rig.settle();
    expect(rig.answers).toEqual(["in s"]);
    expect(rig.ask(made("s"))).toBe("in s");
    expect([rig.auth.verifications, rig.auth.remembered]).toEqual([1, 1]);
  });

  it("that isn't good is looked at each time", async () => {
    const rig = await Rig.start("other");
    for (const count of [1, 2]) {
      expect(rig.ask(made("s"))).toBeUndefined();
      await rig.settle();
      expect([rig.auth.verifications, rig.auth.remembered]).toEqual([count, 0]);
    }
    expect(rig.answers).toEqual(["401 invalid token", "401 invalid token"]);
  });

  it("is verified once for all that ask at once", async () => {
    const rig = await Rig.start();
    for (let n = 0; n < 5; n++) expect(rig.ask(made("s"))).toBeUndefined();
    await rig.settle();
    expect(rig.answers).toEqual(Array.from({ length: 5 }, () => "in s"));
    expect(rig.auth.verifications).toBe(1);
  });

  it("of one tenant is none of another's", async () => {
    const rig = await Rig.start("k", ["a", "b"]);
    rig.ask(made("s"), "a");
    await rig.settle();
    expect(rig.ask(made("s"), "a")).toBe("in s");
    expect(rig.ask(made("s"), "b")).toBeUndefined();
    await rig.settle();
  });

  it("is forgotten with its time, and without one after a minute", async () => {
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

  it("is verified anew when keys have changed, also while that is under way", async () => {
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

describe("those that wait", () => {
  it("are as many as max_pending says, and further ones are told", async () => {
    const rig = await Rig.start();
    const all = Array.from({ length: 10 }, (_, n) => rig.ask(made(`${n}`)));
    expect(all.filter((each) => each === undefined)).toHaveLength(8);
    expect(all.slice(8)).toEqual(Array.from({ length: 2 }, () => "503 too many tokens wait to be verified"));
    await rig.settle();
    expect(rig.answers).toHaveLength(8);
  });

  it("are verified a few in a turn", async () => {
    const rig = new Rig();
    rig.keys = new KeySet([await hmacKey(Buffer.from("k"))], false);
    const auth = new Authoriser({ port: "proxy", maxPending: 1_000, wallNow: () => nowMs });
    auth.use(rig.verifier(""));
    for (let n = 0; n < 200; n++) auth.ask(made(`${n}`), "", { onVerified: () => {} });
    let before = 0;
    let most = 0;
    while (auth.pending > 0) {
      most = Math.max(most, auth.verifications - before);
      before = auth.verifications;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(auth.verifications).toBe(200);
    expect(most).toBeLessThanOrEqual(2 * MAX_ACTIVE);
  });

  it("and don't want to any more are told nothing, and cost nothing", async () => {
    const rig = await Rig.start();
    const told: string[] = [];
    const waiters = Array.from({ length: 8 }, (_, n) => ({ onVerified: () => void told.push(`${n}`) }));
    waiters.forEach((waiter, n) => rig.askAs(waiter, made(`${n}`)));
    for (const waiter of waiters.slice(1)) rig.auth.cancel(waiter);
    expect(rig.auth.pending).toBe(1);
    await rig.settle();
    expect(told).toEqual(["0"]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(rig.auth.verifications).toBeLessThanOrEqual(MAX_ACTIVE);
  });

  it("for keys that aren't known are a quarter at most, and hold up nobody else", async () => {
    const rig = await Rig.start();
    let found = (): void => {};
    rig.refreshed = new Promise((resolve) => {
      found = resolve;
    });
    const { publicKey } = (await import("node:crypto")).generateKeyPairSync("rsa", { modulusLength: 2_048 });
    const keys = (await import("./keys.js")).publicKey(publicKey, "known");
    rig.keys = new KeySet(keys === undefined ? [] : [keys], true);
    const unknown = (n: number): string => {
      const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
      return `Bearer ${part({ alg: "RS256", kid: `x${n}` })}.${part({})}.AA`;
    };
    expect([1, 2, 3].map((n) => rig.ask(unknown(n)))).toEqual([
      undefined,
      undefined,
      "503 too many tokens wait to be verified",
    ]);
    const known = unknown(1).replace(
      /^Bearer [^.]+/,
      `Bearer ${Buffer.from('{"alg":"RS256","kid":"known"}').toString("base64url")}`,
    );
    expect(rig.ask(known)).toBeUndefined();
    while (rig.answers.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect([rig.answers, rig.auth.pending]).toEqual([["401 invalid token"], 2]);
    found();
    await rig.settle();
    expect(rig.answers).toHaveLength(3);
  });
});

it("what is remembered has a limit: what wasn't used for longest goes", () => {
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

it("a port is ready when all of its keys are there, and stays so", async () => {
  const rig = await Rig.start();
  rig.keys = undefined;
  expect(rig.auth.ready).toBe(false);
  rig.keys = new KeySet([], true);
  expect(rig.auth.ready).toBe(true);
  rig.keys = undefined;
  expect(rig.auth.ready).toBe(true);
});
