import { describe, expect, it } from "vitest";
import { z } from "zod";
import { list, section } from "./declaration.js";
import {
  address,
  bool,
  bytes,
  choice,
  duration,
  integer,
  number,
  requiredText,
  strings,
  text,
} from "./fields.js";
import { jsonSchema } from "./json-schema.js";
import { SERVER } from "./server.js";

const declared = section("All kinds.", {
  name: requiredText("A name.", /./, "a name"),
  bindAddr: address(":8000", "Where it listens."),
  waitMs: duration("5s", "How long it waits."),
  maxBytes: bytes(64, "How much.", { min: 1, max: 100 }),
  count: integer(3, "How many.", { min: 0 }),
  part: number(0.5, "Which part.", { min: 0, max: 1 }),
  enabled: bool("Whether."),
  mode: choice(["off", "on"], "off", "Which."),
  join: strings("Whom."),
  log: section("The log.", { level: text("Level.") }),
  ports: list("Ports.", section("A port.", { addr: text("Address.") })),
});

describe("jsonSchema", () => {
  it("has the YAML keys, rejects others, and requires required ones", () => {
    const schema = jsonSchema(declared);
    expect(Object.keys(schema.properties ?? {})).toEqual([
      "name",
      "bind_addr",
      "wait",
      "max_bytes",
      "count",
      "part",
      "enabled",
      "mode",
      "join",
      "log",
      "ports",
    ]);
    expect(schema.required).toEqual(["name"]);
    expect(schema.additionalProperties).toBe(false);
    expect(schema.properties?.["log"]).toMatchObject({ type: "object", additionalProperties: false });
    expect(schema.properties?.["ports"]).toMatchObject({ type: "array", items: { type: "object" } });
    expect(schema.properties?.["wait"]?.description).toBe("How long it waits. Default: 5s.");
  });

  // zod can parse JSON Schema, so it checks the values.
  const judge = z.fromJSONSchema(jsonSchema(declared) as z.core.JSONSchema.JSONSchema);
  const accepts = (more: object): boolean => judge.safeParse({ name: "n", ...more }).success;

  it.each([
    [{ wait: "1m30s" }],
    [{ wait: "0" }],
    [{ wait: "1.5h" }],
    [{ wait: "${WAIT:5s}" }],
    [{ max_bytes: 64 }],
    [{ max_bytes: "64KiB" }],
    [{ count: 7 }],
    [{ count: "${COUNT}" }],
    [{ part: 0.2 }],
    [{ enabled: true }],
    [{ enabled: "yes" }],
    [{ mode: "on" }],
    [{ join: ["a", "b"] }],
    [{ bind_addr: ":9000" }],
    [{ log: { level: "info" }, ports: [{ addr: 3000 }] }],
  ])("accepts %j", (more) => {
    expect(accepts(more)).toBe(true);
  });

  it.each([
    [{ wait: 5 }],
    [{ wait: "5" }],
    [{ wait: "5 minutes" }],
    [{ max_bytes: "64KB" }],
    [{ count: 1.5 }],
    [{ count: "7" }],
    [{ enabled: "maybe" }],
    [{ mode: "sometimes" }],
    [{ join: "a" }],
    [{ waitMs: "5s" }],
    [{ log: { color: true } }],
    [{ ports: [{ address: "x" }] }],
  ])("rejects %j", (more) => {
    expect(accepts(more)).toBe(false);
  });

  it("covers the server's whole configuration", () => {
    const schema = jsonSchema(SERVER);
    expect(schema.properties?.["cluster"]?.properties?.["gossip"]?.properties?.["bind_addr"]).toBeDefined();
  });
});
