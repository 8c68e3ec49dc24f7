import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { RecordedLog } from "../../test/recorded-log.js";
import { type Asked, AuditLog, MAX_REFUSALS_PER_SECOND } from "./audit-log.js";
import { REFUSED } from "./refusal.js";

const CLAIMS = Buffer.from(JSON.stringify({ sub: "me\u202e", jti: "7", exp: 1 })).toString("base64url");
const TOKEN = `eyJhbGciOiJIUzI1NiJ9.${CLAIMS}.c2lnbmF0dXJl`;
const NOBODY: Asked = {
  address: "10.0.0.1",
  tenantId: "",
  endpointId: "",
  identity: undefined,
  credential: undefined,
  certificate: "",
};

function start(): { audit: AuditLog; log: RecordedLog; clock: FakeClock } {
  const clock = new FakeClock();
  const log = new RecordedLog();
  return { audit: new AuditLog("proxy", log.logger.subsystem("audit"), clock), log, clock };
}

describe("the audit line of a refusal", () => {
  it("contains who asked for what, why it was refused, and what the token claims, but no part of the token itself", async () => {
    const { audit, log } = start();
    const asked = { ...NOBODY, tenantId: "a", endpointId: "web", credential: `Bearer ${TOKEN}` };
    audit.refused(asked, REFUSED.expired);
    expect(await log.line("refused")).toMatchObject({
      level: "warn",
      subsystem: "audit",
      port: "proxy",
      "client-ip": "10.0.0.1",
      "endpoint-id": "web",
      "tenant-id": "a",
      sub: "me\u202e",
      jti: "7",
      verified: false,
      reason: "expired",
      status: 401,
    });
    for (const part of [TOKEN, ...TOKEN.split(".")]) expect(log.lines.join("")).not.toContain(part);
  });

  it("contains the subject of the client's certificate, if there is one", async () => {
    const { audit, log } = start();
    audit.refused({ ...NOBODY, certificate: `CN=${"x".repeat(1_000)}` }, REFUSED.missing);
    audit.refused(NOBODY, REFUSED.missing);
    expect(await log.line("refused")).toMatchObject({ "client-certificate": `CN=${"x".repeat(253)}` });
    expect(await log.line("refused", 1)).not.toHaveProperty("client-certificate");
  });

  it.each([undefined, "", "x", "Bearer a.b.c", `Bearer ${"x".repeat(10_000)}.${CLAIMS}.x`])(
    "contains no claims for the credential %j",
    async (credential) => {
      const { audit, log } = start();
      audit.refused({ ...NOBODY, credential }, REFUSED.form);
      expect(Object.keys(await log.line("refused"))).not.toContain("verified");
    },
  );

  it("isn't written more than a hundred times a second; the next line counts those that were not written", async () => {
    const { audit, clock, log } = start();
    for (let i = 0; i < MAX_REFUSALS_PER_SECOND + 20; i++) audit.refused(NOBODY, REFUSED.missing);
    await log.line("refused", MAX_REFUSALS_PER_SECOND - 1);
    clock.advance(1_000);
    audit.refused(NOBODY, REFUSED.missing);
    expect(await log.line("refused", MAX_REFUSALS_PER_SECOND)).toMatchObject({ unsaid: 20 });
    expect(log.find("refused")).toHaveLength(MAX_REFUSALS_PER_SECOND + 1);
  });
});
