import { describe, expect, it } from "vitest";
import { showing } from "./shown-fields.js";

const NONE = { allowList: [], blockList: [] };

describe("without lists", () => {
  it.each([
    "X-Api-Key",
    "X-Auth-Token",
    "Apikey",
    "Token",
    "X-Amz-Security-Token",
    "X-Csrf-Token",
    "X-Whatever",
  ])("%s isn't shown", (name) => {
    expect(showing("request", NONE)(name)).toBe("not");
    expect(showing("response", NONE)(name)).toBe("not");
  });

  it.each(["Referer", "Location", "Link", "Refresh", "Sec-Websocket-Protocol", "Sec-Websocket-Key", "Host"])(
    "%s isn't shown, because of what it may contain",
    (name) => {
      expect(showing("request", NONE)(name)).toBe("not");
    },
  );

  it.each([
    "User-Agent",
    "Content-Type",
    "Content-Length",
    "X-Forwarded-For",
    "X-Piko-Endpoint",
    "X-Request-Id",
  ])("%s is shown", (name) => {
    expect(showing("request", NONE)(name)).toBe("shown");
    expect(showing("response", NONE)(name)).toBe("shown");
  });

  it("fields about a connection are shown for requests, as in Go, except those that Go has removed by then", () => {
    for (const name of ["Connection", "Keep-Alive", "Te", "Upgrade"]) {
      expect(showing("request", NONE)(name)).toBe("shown");
      expect(showing("response", NONE)(name)).toBe("not");
    }
    for (const name of ["Transfer-Encoding", "Trailer"]) expect(showing("request", NONE)(name)).toBe("not");
  });
});

describe("with lists", () => {
  it("only allowed fields are shown", () => {
    const how = showing("request", { allowList: ["x-tenant", "LOCATION"], blockList: [] });
    expect(["X-Tenant", "Location", "User-Agent"].map(how)).toEqual(["shown", "shown", "not"]);
  });

  it("blocked fields aren't shown, and no others are added", () => {
    const how = showing("response", { allowList: [], blockList: ["user-agent", "set-cookie"] });
    expect(["User-Agent", "Set-Cookie", "Server", "X-Api-Key"].map(how)).toEqual([
      "not",
      "not",
      "shown",
      "not",
    ]);
  });

  it("a secret isn't shown, even if allowed", () => {
    const names = ["Authorization", "Cookie", "X-Api-Key", "X-Auth-Token", "Client-Secret"];
    const how = showing("request", { allowList: names, blockList: [] });
    expect(new Set(names.map(how))).toEqual(new Set(["redacted"]));
  });
});
