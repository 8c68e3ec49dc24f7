import { afterEach, describe, expect, it } from "vitest";
import { jsonError } from "../test/test-server.js";
import { closeStages, exchange, UpstreamStage } from "../test/upstream-stage.js";

afterEach(closeStages);

/** A token that expires `endS` seconds after 1970 according to its unverified claims. */
function token(endS: number, name = "t", startS?: number): string {
  const claims = Buffer.from(JSON.stringify({ sub: name, exp: endS, iat: startS })).toString("base64url");
  return `e30.${claims}.sig`;
}

/** An upstream whose token can be changed, on the stage's clock. */
async function stageWith(
  first: string,
): Promise<{ stage: UpstreamStage; give: (next: string | Error) => void }> {
  let next: string | Error = first;
  const stage: UpstreamStage = await UpstreamStage.start({
    token: async () => {
      await Promise.resolve();
      if (next instanceof Error) throw next;
      return next;
    },
    wallNow: () => stage.clock.now(),
  });
  return { stage, give: (given) => (next = given) };
}

function tokens(stage: UpstreamStage): (string | undefined)[] {
  return stage.server.requests.map(({ headers }) => headers.get("authorization")?.replace("Bearer ", ""));
}

/** Waits for pending reads of tokens. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

describe("an upstream's token", () => {
  it("is read again for each connection", async () => {
    const { stage, give } = await stageWith("one");
    await stage.upstream.start();
    give("two");
    (await stage.tunnel(1)).socket.reset();
    await stage.retry();
    await stage.tunnel(2);
    expect(tokens(stage)).toEqual(["one", "two"]);
  });

  it("that has changed opens another tunnel first, and drains the old one", async () => {
    const { stage, give } = await stageWith("one");
    await stage.upstream.start();
    const first = await stage.tunnel(1);
    const { answer, stream } = exchange(first, "under way");
    await answer;
    give("two");
    stage.upstream.renewToken();
    const second = await stage.tunnel(2);
    expect(await stage.event("connected node-1 true")).not.toContain("disconnected undefined");
    stage.clock.advance(1_000);
    await stage.server.until(() => first.session.yamux.remoteGoAway || undefined);
    expect(first.session.yamux.streamCount).toBe(1);
    expect(await exchange(second, "new").answer).toBe("new");
    stream.end();
    await stage.server.until(() => first.session.yamux.ended || undefined);
    expect(tokens(stage)).toEqual(["one", "two"]);
    expect(stage.events).toEqual(["stream"]);
  });

  it("that hasn't changed opens no tunnel", async () => {
    const { stage, give } = await stageWith("one");
    await stage.upstream.start();
    stage.upstream.renewToken();
    await settled();
    // Nor does a source that has no token at the moment.
    give("");
    stage.upstream.renewToken();
    await settled();
    give(new Error("gone"));
    stage.upstream.renewToken();
    await settled();
    expect(tokens(stage)).toEqual(["one"]);
    expect(stage.logged).toContain("warn: failed to look for another token");
  });

  it("is looked for at 80 % of its lifetime, and repeatedly while there is no other", async () => {
    const first = token(100);
    const { stage, give } = await stageWith(first);
    await stage.upstream.start();
    stage.clock.advance(79_000);
    give(token(200));
    await settled();
    expect(tokens(stage)).toHaveLength(1);
    give(first);
    stage.clock.advance(1_000);
    await settled();
    give(token(200));
    // 80 % of the remaining time.
    stage.clock.advance(15_999);
    await settled();
    expect(tokens(stage)).toHaveLength(1);
    stage.clock.advance(1);
    await stage.tunnel(2);
    expect(tokens(stage)).toEqual([first, token(200)]);
  });

  it("has its lifetime counted from when it became valid", async () => {
    const { stage, give } = await stageWith(token(200, "t", 0));
    stage.clock.advance(150_000);
    await stage.upstream.start();
    give(token(300));
    stage.clock.advance(10_000);
    await stage.tunnel(2);
  });

  it("that is refused leaves the current tunnel in place", async () => {
    const { stage, give } = await stageWith("one");
    await stage.upstream.start();
    const first = await stage.tunnel(1);
    stage.server.answers.push(jsonError(401, "invalid token"));
    give("bad");
    stage.upstream.renewToken();
    await stage.event("reconnecting");
    expect(await exchange(first, "still").answer).toBe("still");
    // The next change takes effect at once, whatever the delay was.
    give("good");
    stage.upstream.renewToken();
    await stage.tunnel(2);
    expect(tokens(stage)).toEqual(["one", "bad", "good"]);
  });

  it("that arrived before its key is retried when the server ends the tunnel of the old one", async () => {
    const { stage, give } = await stageWith("one");
    await stage.upstream.start();
    const first = await stage.tunnel(1);
    stage.clock.advance(5_000);
    stage.server.answers.push(jsonError(401, "invalid token"));
    give("two");
    stage.upstream.renewToken();
    expect(await stage.event("reconnecting")).toContain("reconnecting 7500 1");
    first.session.goAway();
    // Not after the rest of the long delay.
    await stage.event("reconnecting 50 1");
    stage.clock.advance(50);
    await stage.tunnel(2);
    expect(tokens(stage)).toEqual(["one", "two", "two"]);
  });

  it("that is refused while the server ends the tunnel of the old one is retried soon", async () => {
    const { stage, give } = await stageWith("one");
    await stage.upstream.start();
    const first = await stage.tunnel(1);
    const drains = stage.logs("info: server is draining");
    stage.server.answers.push(drains.then(() => jsonError(401, "invalid token")));
    give("two");
    stage.upstream.renewToken();
    await stage.server.until(() => stage.server.requests[1]);
    first.session.goAway();
    await stage.event("reconnecting 50 1");
    stage.clock.advance(50);
    await stage.tunnel(2);
    expect(tokens(stage)).toEqual(["one", "two", "two"]);
  });

  it("that changes during an attempt is tried next, without a delay", async () => {
    const { stage, give } = await stageWith("one");
    await stage.upstream.start();
    (await stage.tunnel(1)).socket.reset();
    await stage.event("reconnecting");
    stage.server.answers.push("drop");
    stage.clock.advance(15_000);
    await stage.server.until(() => stage.server.requests[1]);
    give("two");
    stage.upstream.renewToken();
    await stage.event("reconnecting 0");
    stage.clock.advance(0);
    await stage.tunnel(2);
    expect(tokens(stage)).toEqual(["one", "one", "two"]);
  });

  it("that can't be read is retried", async () => {
    const { stage, give } = await stageWith("one");
    give(new Error("no such file"));
    const started = stage.upstream.start();
    await stage.event("reconnecting");
    give("one");
    stage.clock.advance(15_000);
    await started;
    expect(stage.logged).toEqual(["warn: failed to connect to server", "info: connected to server"]);
  });

  it("that isn't a string is rejected permanently", async () => {
    const stage = await UpstreamStage.start({ token: () => 1 as never });
    await expect(stage.upstream.start()).rejects.toMatchObject({ code: "PIKO_CLIENT_BAD_OPTION" });
  });
});
