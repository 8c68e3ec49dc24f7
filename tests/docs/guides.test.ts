// Follows the documents for users from beginning to end, like a user who types what they show.

import { createCertificates } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { createHosts } from "../harness/private-hosts.js";
import { Stage } from "../harness/stage.js";
import { token } from "../harness/tokens.js";
import { findTool } from "../harness/tools.js";
import { CHANGED, ELSEWHERE, NOT_RUN, PRINTED, SAMPLES } from "./exceptions.js";
import { DOCUMENTS, fencesOf, kindOf } from "./fences.js";
import { Guide } from "./guide.js";

const SERVICE = "python3 -m http.server 3000";
const REDIS = "redis-server";

/** What must be running before each document, apart from having built a clone. */
const BEFORE: Readonly<Record<string, readonly string[]>> = {
  "README.md": [SERVICE],
  "docs/guides/agent.md": ["piko server", SERVICE],
  "docs/guides/alerts.md": ["piko server", SERVICE, "piko agent http my-endpoint 3000"],
  "docs/guides/behind-a-proxy.md": ["piko server", SERVICE, "piko agent http my-endpoint 3000"],
  "docs/guides/forward-tcp.md": ["piko server"],
  "docs/guides/http2.md": ["piko server", SERVICE, "piko agent http web 3000"],
  "docs/guides/migration.md": ["piko server"],
  "docs/guides/operating.md": ["piko server"],
  "docs/guides/security.md": [SERVICE],
  "docs/guides/tls.md": [SERVICE],
  "docs/guides/tracing.md": [SERVICE],
  "docs/reference/cli.md": [SERVICE],
  "packages/piko/README.md": [SERVICE],
};
/** Programs that a document needs besides those that every machine has. */
const NEEDED: Readonly<Record<string, readonly string[]>> = {
  "README.md": [REDIS, "redis-cli"],
  "docs/guides/forward-tcp.md": [REDIS, "redis-cli"],
  "docs/guides/behind-a-proxy.md": ["haproxy"],
};

/** The documents that take longest start first: one waits for timeouts, the other starts some fifty programs. */
const LONGEST = ["docs/guides/streaming.md", "docs/reference/cli.md"];
const rank = (document: string): number => (LONGEST.includes(document) ? 0 : 1);
const followed = DOCUMENTS.filter(
  (document) => !(document in ELSEWHERE) && fencesOf(document).length > 0,
).toSorted((a, b) => rank(a) - rank(b));

describe("documents", () => {
  it("are all followed here, except those with a reason not to be", () => {
    for (const document of Object.keys(ELSEWHERE)) expect(DOCUMENTS).toContain(document);
    for (const document of [...Object.keys(BEFORE), ...Object.keys(NEEDED)])
      expect(followed).toContain(document);
    const all = followed.flatMap(fencesOf);
    for (const fence of all) {
      const where = `${fence.document}:${fence.line}`;
      if (kindOf(fence) !== "sample") continue;
      const known = SAMPLES.some(
        ({ begins, document }) => document === fence.document && fence.text.startsWith(begins),
      );
      expect(known, `${where} is neither a command nor a known sample`).toBe(true);
    }
  });

  it("still contain every exception", () => {
    const joined = (document: string): string =>
      fencesOf(document)
        .map(({ text }) => text.replaceAll(/ *\\\n */g, " ").replaceAll("npx piko", "piko"))
        .join("\n");
    for (const { document, command } of [...NOT_RUN, ...PRINTED]) expect(joined(document)).toContain(command);
    for (const { document, from } of CHANGED) expect(joined(document)).toContain(from);
    for (const { document, begins } of SAMPLES) {
      expect(
        fencesOf(document).some(({ text }) => text.startsWith(begins)),
        begins,
      ).toBe(true);
    }
  });
});

async function follow(document: string, stage: Stage): Promise<void> {
  const hosts = await createHosts(stage, ["10.0.0.1"]);
  if (hosts === undefined) return;
  const [host] = hosts;
  const guide = await Guide.open(document, stage, host);
  guide.write("server.yaml", "cluster:\n  node_id: node-2\n");
  guide.write("token", `${token("HS256", "a secret", { sub: "an-agent" })}\n`);
  using certificates = createCertificates();
  guide.write("ca.pem", certificates.read(certificates.caCert));
  if (NEEDED[document]?.includes(REDIS) === true) host.start(stage, REDIS, `${REDIS} --save ''`);
  for (const command of BEFORE[document] ?? []) await guide.run(command);
  await guide.follow();
}

// Several at the same time: each has a host of its own, and mostly waits.
describe.concurrent("following", () => {
  for (const document of followed) {
    const missing = ["ip", "curl", "python3", "openssl", ...(NEEDED[document] ?? [])].filter(
      (tool) => findTool(tool) === undefined,
    );
    if (missing.length > 0) {
      const reason = `${document} needs ${missing.join(", ")}, which is not installed`;
      if (process.env["CI"] === "true") throw new Error(reason);
      process.stderr.write(`skipped: ${reason}\n`);
    }
    it.skipIf(missing.length > 0)(
      `${document} works as written`,
      async () => {
        const stage = new Stage();
        try {
          await follow(document, stage);
        } finally {
          await stage.clear();
        }
      },
      400_000,
    );
  }
});
