// The rules of deploy/prometheus: they are valid, documented and tested, use only existing metrics, and are the same in the chart.

import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { ALL_REASONS } from "../../packages/piko/src/http/reasons.js";
import { commandsOf, fencesOf, ROOT } from "../docs/fences.js";
import { perTest } from "../harness/stage.js";
import { haveTools, run } from "../harness/tools.js";
import { metricsIn, panelQueries, readAlerts, readDashboards, readRules, RULES_PATH } from "./queries.js";

const stage = perTest();
const GUIDE = "docs/guides/monitoring.md";
const TESTS_PATH = join(ROOT, "tests/monitoring/rules-test.yaml");
const PAGE = readFileSync(join(ROOT, "docs/guides/alerts.md"), "utf8");
const METRICS = new Map(
  [...readFileSync(join(ROOT, "docs/reference/metrics.md"), "utf8").matchAll(/^\| `(\w+)` \| (\w+) /gm)].map(
    ([, name = "", type = ""]) => [name, type],
  ),
);

interface RuleTests {
  readonly tests: readonly {
    readonly alert_rule_test: readonly {
      readonly alertname: string;
      readonly exp_alerts: readonly unknown[];
    }[];
  }[];
}

/** Whether a node, an agent, Prometheus itself or a rule has this series. */
function exists(name: string): boolean {
  if (name === "up" || name === "ALERTS" || readRules().some(({ record }) => record === name)) return true;
  const histogram = /^(\w+)_(?:bucket|sum|count)$/.exec(name)?.[1] ?? "";
  return METRICS.has(name) ? METRICS.get(name) !== "histogram" : METRICS.get(histogram) === "histogram";
}

const unknownIn = (expr: string): string[] => metricsIn(expr).filter((name) => !exists(name));

describe.skipIf(!haveTools("promtool"))("promtool", () => {
  it("accepts the rules", async () => {
    const { code, stdout, stderr } = await run("promtool", ["check", "rules", "--lint-fatal", RULES_PATH]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`${readRules().length} rules found`);
  });

  it("accepts the guide's settings and its command", async () => {
    const [settings, ...others] = fencesOf(GUIDE).filter(({ language }) => language === "yaml");
    expect(others).toEqual([]);
    const directory = await stage.directory();
    writeFileSync(join(directory, "prometheus.yml"), settings?.text ?? "");
    cpSync(RULES_PATH, join(directory, "rules.yaml"));
    const checked = await run("promtool", ["check", "config", join(directory, "prometheus.yml")]);
    expect(checked).toMatchObject({ code: 0, stderr: "" });
    const commands = fencesOf(GUIDE).flatMap((fence) => (fence.language === "" ? commandsOf(fence) : []));
    const [command = "", ...more] = commands.filter((each) => each.startsWith("promtool "));
    expect(more).toEqual([]);
    expect((await run("sh", ["-c", command], { cwd: ROOT })).code).toBe(0);
    const named = commands.flatMap((each) => [...each.matchAll(/deploy\/[\w./-]+/g)].map(([path]) => path));
    expect(named.length).toBeGreaterThan(3);
    expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("sees every alert fire where it should, and only there", async () => {
    const { code, stdout, stderr } = await run("promtool", ["test", "rules", TESTS_PATH]);
    expect(stdout + stderr).toContain("SUCCESS");
    expect(code).toBe(0);
  });
});

it("each alert has a test in which it fires, and one in which it doesn't", () => {
  const { tests } = parse(readFileSync(TESTS_PATH, "utf8")) as RuleTests;
  const cases = tests.flatMap((each) => each.alert_rule_test);
  for (const fires of [true, false]) {
    const tested = cases.filter((each) => each.exp_alerts.length > 0 === fires);
    const names = new Set(tested.map(({ alertname }) => alertname));
    expect([...names].sort()).toEqual(
      readAlerts()
        .map(({ alert }) => alert)
        .sort(),
    );
  }
});

it("the page of alerts has a section and a row for each alert, and no others", () => {
  const alerts = readAlerts();
  const names = alerts.map(({ alert }) => alert).sort();
  expect([...PAGE.matchAll(/^## (Piko\w+)$/gm)].map(([, name]) => name).sort()).toEqual(names);
  const rows = [...PAGE.matchAll(/^\| \[`(\w+)`\]\(#(\w+)\) \| (\w+) \|/gm)];
  expect(rows.map(([, name]) => name).sort()).toEqual(names);
  for (const { alert, annotations, labels } of alerts) {
    const row = rows.find(([, name]) => name === alert);
    expect(row?.slice(2)).toEqual([alert.toLowerCase(), labels?.["severity"]]);
    expect(annotations).toMatchObject({
      summary: expect.stringMatching(/\{\{/) as string,
      description: expect.stringMatching(/./) as string,
      runbook_url: `docs/guides/alerts.md#${alert.toLowerCase()}`,
    });
  }
});

it("the page of alerts names only metrics that exist", () => {
  const named = [...PAGE.matchAll(/`(piko_\w+)`/g)].map(([, name = ""]) => name);
  expect(named.length).toBeGreaterThan(8);
  expect(named.filter((name) => !exists(name))).toEqual([]);
});

it("clients' mistakes fire no alert, and all other failures do", () => {
  const ofClients = ALL_REASONS.filter(({ side }) => side === "client").map(({ code }) => code);
  const { expr = "" } = readAlerts().find(({ alert }) => alert === "PikoRequestsFailing") ?? {};
  const left = /reason!~"([^"]+)"/.exec(expr)?.[1]?.split("|");
  // `no_upstream` has an alert of its own.
  expect(left?.sort()).toEqual([...ofClients, "no_upstream"].sort());
});

it("rules and dashboards use only metrics that exist", () => {
  const queries = [...readRules(), ...panelQueries()];
  expect(queries.length).toBeGreaterThan(100);
  expect(queries.flatMap(({ expr }) => unknownIn(expr))).toEqual([]);
  const labelValues = readDashboards().flatMap(({ templating }) =>
    templating.list.flatMap(({ query }) => (typeof query === "string" ? [] : [query.query])),
  );
  expect(
    labelValues.flatMap((query) => unknownIn(query.replace(/^label_values\((.*), \w+\)$/, "$1"))),
  ).toEqual([]);
  expect(unknownIn('sum by (job) (rate(piko_nothing{x="y"}[5m])) / up')).toEqual(["piko_nothing"]);
});

it("the chart has the same rules", () => {
  const copy = join(ROOT, "deploy/helm/piko/files/rules.yaml");
  expect(readFileSync(copy, "utf8")).toBe(readFileSync(RULES_PATH, "utf8"));
});

it("panels of a dashboard don't overlap, and have unique ids", () => {
  const dashboards = readDashboards();
  expect(dashboards.map(({ uid }) => uid).sort()).toEqual(
    ["agents", "gossip", "node", "overview"].map((name) => `piko-${name}`),
  );
  for (const { panels } of dashboards) {
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)} ${y + Math.floor(i / w)}`),
    );
    expect(new Set(cells).size).toBe(cells.length);
    expect(Math.max(...panels.map(({ gridPos: { x, w } }) => x + w))).toBe(24);
  }
});
