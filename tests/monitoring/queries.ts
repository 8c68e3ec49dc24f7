// The contents of deploy/ for Prometheus and Grafana: rules, and the queries of dashboards.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { ROOT } from "../docs/fences.js";

export const RULES_PATH: string = join(ROOT, "deploy/prometheus/rules.yaml");
const DASHBOARDS = join(ROOT, "deploy/grafana/dashboards");

export interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface RuleGroups {
  readonly groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[];
}

interface Target {
  readonly expr: string;
}

export interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
}

export interface Variable {
  readonly name: string;
  readonly query: string | { readonly query: string };
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
}

/** A query, and the panel or rule that it belongs to. */
export interface Query {
  readonly where: string;
  readonly expr: string;
}

export const readRules = (): readonly Rule[] =>
  (parse(readFileSync(RULES_PATH, "utf8")) as RuleGroups).groups.flatMap(({ rules }) => rules);

export const readAlerts = (): readonly (Rule & { readonly alert: string })[] =>
  readRules().flatMap((rule) => (rule.alert === undefined ? [] : [{ ...rule, alert: rule.alert }]));

export const readDashboards = (): readonly Dashboard[] =>
  readdirSync(DASHBOARDS).map(
    (name) => JSON.parse(readFileSync(join(DASHBOARDS, name), "utf8")) as Dashboard,
  );

/** The queries of all panels, unchanged. */
export const panelQueries = (): readonly Query[] =>
  readDashboards().flatMap(({ title, panels }) =>
    panels.flatMap((panel) =>
      (panel.targets ?? []).map(({ expr }) => ({ where: `${title}, ${panel.title}`, expr })),
    ),
  );

/** Names of the metrics in a query, without labels, functions, and text in braces, quotes or brackets. */
export function metricsIn(expr: string): readonly string[] {
  const bare = expr
    .replaceAll(/"[^"]*"/g, "")
    .replaceAll(/\{[^}]*\}/g, " ")
    .replaceAll(/\b(?:by|without|on|group_left) ?\([^)]*\)/g, " ");
  return [...bare.matchAll(/[A-Za-z_:][\w:]*(?= *(\()?)/g)].flatMap(([name, call]) =>
    call === undefined && /_|:|^up$|^ALERTS$/.test(name) && !/__|_(?:left|right)$/.test(name) ? [name] : [],
  );
}
