import { describe, expect, it } from "vitest";
import { endpoint } from "./endpoint-page.js";

const SINCE = "2026-01-01T00:00:00.000Z";
const VIEW = { width: 100, nowMs: Date.parse(SINCE) + 5_000 };

function agent(endpointId: string, name: string | null, version?: string): object {
  const more = version === undefined ? {} : { version };
  return {
    endpoint_id: endpointId,
    agent: name,
    client_ip: "::1",
    ...more,
    since: SINCE,
    tunnels: 2,
    streams: 0,
  };
}

/** Three nodes: a Go node, one with two agents, one without the endpoint. */
async function ask(path: string, nodeId: string): Promise<unknown> {
  if (path === "/status/cluster/nodes") {
    return ["go", "b", "c"].map((id) => ({ id, status: "active" }));
  }
  if (path === "/status/upstream/agents") {
    if (nodeId === "go") throw new Error("bad status: 404");
    return [agent("web", "3ba0443f40ee", "piko-js/0.1.0"), agent("other", "x"), agent("web", null)];
  }
  return { endpoints: path.endsWith("/c") ? null : { web: path.endsWith("/go") ? 3 : 2 } };
}

describe("the page of an endpoint", () => {
  it("shows the agents of each node that has it, or their number", async () => {
    const page = endpoint("web");
    const document = page.schema.parse(await page.gather?.(ask));
    expect(document.nodes).toMatchObject([
      { id: "b", listeners: 2, agents: [{ agent: "3ba0443f40ee", tunnels: 2 }, { agent: null }] },
      { id: "go", listeners: 3, agents: null },
    ]);
    expect(page.table(document, VIEW)).toBe(
      [
        "NODE  STATUS  AGENT         TUNNELS  STREAMS  FOR  ADDRESS  VERSION",
        "b     active  3ba0443f40ee        2        0  5 s  ::1      piko-js/0.1.0",
        "b     active  -                   2        0  5 s  ::1",
        "go    active  -                   3",
        "",
      ].join("\n"),
    );
  });

  it("says that no agent listens", async () => {
    const page = endpoint("nope");
    const document = page.schema.parse(await page.gather?.(ask));
    expect(page.table(document, VIEW)).toBe("no one listens on nope\n");
  });
});
