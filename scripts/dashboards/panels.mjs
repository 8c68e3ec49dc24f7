// The parts of a Grafana dashboard: rows of panels with queries, and variables at the top. The result has the format of
// Grafana's own exports, so that deploy/grafana can be imported by hand or provisioned.

/** Width of a dashboard in columns. */
const COLUMNS = 24;
const PANEL_HEIGHT = 8;
const STAT_HEIGHT = 4;
const DATASOURCE = { type: "prometheus", uid: "${datasource}" };

/** A query, and the legend of its series: `{{instance}}`. */
export const query = (expr, legend) => ({ expr, legend });

/** A graph over time. `unit` is one of Grafana's units: `reqps`, `s`, `bytes`. */
export const graph = (title, unit, queries, description = "") => ({
  type: "timeseries",
  title,
  unit,
  queries,
  description,
});

/** A graph whose series are stacked, for parts of a whole. */
export const stacked = (...args) => ({ ...graph(...args), stack: true });

/** The current value of one number. `steps` are colors with the value at which each begins. */
export const stat = (title, unit, expr, steps = [["green", null]], description = "") => ({
  type: "stat",
  title,
  unit,
  queries: [query(expr, "")],
  description,
  steps,
});

/** A variable with the values of a label; all of them by default. */
export const variable = (name, label, from) => ({ name, label, from });

/** A dashboard; its rows are pairs of a title and panels. */
export function dashboard({ uid, title, description, variables, rows }) {
  const panels = [];
  let y = 0;
  for (const [rowTitle, members] of rows) {
    panels.push({
      id: panels.length + 1,
      type: "row",
      title: rowTitle,
      collapsed: false,
      gridPos: { x: 0, y, w: COLUMNS, h: 1 },
      panels: [],
    });
    y += 1;
    for (const line of linesOf(members)) {
      const h = line.every(({ type }) => type === "stat") ? STAT_HEIGHT : PANEL_HEIGHT;
      const w = Math.floor(COLUMNS / line.length);
      for (const [at, panel] of line.entries())
        panels.push(panelOf(panel, panels.length + 1, { x: at * w, y, w, h }));
      y += h;
    }
  }
  return {
    uid,
    title,
    description,
    tags: ["piko"],
    editable: true,
    graphTooltip: 1,
    refresh: "30s",
    schemaVersion: 39,
    time: { from: "now-1h", to: "now" },
    timezone: "",
    links: [
      {
        type: "dashboards",
        title: "Piko",
        tooltip: "",
        icon: "external link",
        tags: ["piko"],
        targetBlank: false,
        asDropdown: true,
        includeVars: false,
        keepTime: true,
      },
    ],
    templating: { list: [datasource(), ...variables.map(variableOf)] },
    annotations: { list: [] },
    panels,
  };
}

/** Arranges up to six numbers, or three graphs, side by side. */
function linesOf(members) {
  const lines = [];
  for (const panel of members) {
    const line = lines.at(-1);
    const limit = panel.type === "stat" ? 6 : 3;
    if (line === undefined || line[0].type !== panel.type || line.length === limit) lines.push([panel]);
    else line.push(panel);
  }
  return lines;
}

function panelOf({ type, title, unit, queries, description, stack, steps }, id, gridPos) {
  const isStat = type === "stat";
  const defaults = isStat
    ? {
        unit,
        color: { mode: "thresholds" },
        thresholds: { mode: "absolute", steps: steps.map(([color, value]) => ({ color, value })) },
      }
    : {
        unit,
        min: 0,
        color: { mode: "palette-classic" },
        custom: {
          drawStyle: "line",
          lineWidth: 1,
          fillOpacity: stack ? 30 : 5,
          showPoints: "never",
          stacking: { mode: stack ? "normal" : "none", group: "A" },
        },
      };
  return {
    id,
    type,
    title,
    description,
    datasource: DATASOURCE,
    gridPos,
    fieldConfig: { defaults, overrides: [] },
    options: isStat
      ? {
          reduceOptions: { calcs: ["lastNotNull"], fields: "", values: false },
          colorMode: "value",
          graphMode: "area",
          textMode: "auto",
        }
      : {
          legend: { displayMode: "list", placement: "bottom", showLegend: true },
          tooltip: { mode: "multi", sort: "desc" },
        },
    targets: queries.map(({ expr, legend }, at) => ({
      refId: String.fromCodePoint(65 + at),
      datasource: DATASOURCE,
      expr,
      legendFormat: legend,
      range: !isStat,
      instant: isStat,
    })),
  };
}

function datasource() {
  return {
    name: "datasource",
    label: "Data source",
    type: "datasource",
    query: "prometheus",
    hide: 0,
    multi: false,
    includeAll: false,
  };
}

function variableOf({ name, label, from }) {
  return {
    name,
    label,
    type: "query",
    datasource: DATASOURCE,
    query: { query: from, refId: name },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    current: { text: ["All"], value: ["$__all"] },
    hide: 0,
  };
}
