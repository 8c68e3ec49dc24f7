// What the parser leaves undefined must never count as "not set".

import { expect, it } from "vitest";
import { AGENT } from "./agent.js";
import type { Section } from "./declaration.js";
import { expandEnv, verbatim } from "./expand-env.js";
import { type RawSettings, readYaml } from "./load-yaml.js";
import { SERVER } from "./server.js";

function problemsOf(yaml: string, declared: Section = SERVER): readonly string[] {
  return readYaml(yaml, verbatim(yaml), declared).problems.map(
    ({ message, path, place: { column, line } }) => `${line}:${column} ${path}: ${message}`,
  );
}

function expanded(yaml: string, env: Record<string, string>): ReturnType<typeof readYaml> {
  return readYaml(yaml, expandEnv(yaml, env), SERVER);
}

function settingsOf(yaml: string, declared: Section = SERVER): RawSettings {
  const { problems, settings } = readYaml(yaml, verbatim(yaml), declared);
  expect(problems).toEqual([]);
  return settings;
}

const NO_VALUE = "has no value: leave the key out for its default";

it.each([
  // An alias without its anchor, in every place where an alias is possible.
  [
    "proxy:\n  bind_addr: *internal\n",
    "2:14 proxy.bind_addr: alias *internal has no anchor &internal before it",
  ],
  ["proxy: *p", "1:8 proxy: alias *p has no anchor &p before it"],
  ["*p", "1:1 : alias *p has no anchor &p before it"],
  ["proxy: {trusted_proxies: *t}", "1:26 proxy.trusted_proxies: alias *t has no anchor &t before it"],
  [
    "proxy: {trusted_proxies: [10.0.0.0/8, *t]}",
    "1:39 proxy.trusted_proxies[1]: alias *t has no anchor &t before it",
  ],
  ["proxy: {<<: *base}", "1:13 proxy.<<: alias *base has no anchor &base before it"],
  ["<<: *base", "1:5 <<: alias *base has no anchor &base before it"],
  ["proxy: {<<: [{timeout: 1s}, *base]}", "1:29 proxy.<<: alias *base has no anchor &base before it"],
  ["proxy: {timeout: *t}\nlog: {level: &t warn}", "1:18 proxy.timeout: alias *t has no anchor &t before it"],
  ["proxy: {*timeout : 1s}", '1:9 proxy.*timeout: unknown key (did you mean "timeout"?)'],
  // An alias that would be an infinite loop.
  ["proxy: &p {http: *p}", "1:18 proxy.http: alias *p is part of the value that it refers to"],
  ["proxy: &p {<<: *p}", "1:16 proxy.<<: alias *p is part of the value that it refers to"],
  ["proxy: &p {<<: [*p]}", "1:17 proxy.<<: alias *p is part of the value that it refers to"],
  // Null.
  ["proxy:\n  bind_addr:\n", `2:13 proxy.bind_addr: ${NO_VALUE}`],
  ["proxy: {bind_addr: ~}", `1:20 proxy.bind_addr: ${NO_VALUE}`],
  ["proxy: {bind_addr: !!null ''}", `1:27 proxy.bind_addr: ${NO_VALUE}`],
  ["proxy: {bind_addr}", `1:9 proxy.bind_addr: ${NO_VALUE}`],
  ["proxy: {trusted_proxies: }", `1:26 proxy.trusted_proxies: ${NO_VALUE}`],
  ["cluster: {join: [a, ~]}", `1:21 cluster.join[1]: ${NO_VALUE}`],
  ["cluster:\n  join:\n    - a\n    -\n", `4:6 cluster.join[1]: ${NO_VALUE}`],
  [
    "log: {level: info}\nproxy: {access_log: {level: &l}, timeout: *l}",
    `2:31 proxy.access_log.level: ${NO_VALUE}`,
    `2:43 proxy.timeout: ${NO_VALUE}`,
  ],
  ["proxy: {<<: }", "1:13 proxy.<<: must be a section or a list of sections"],
  ["proxy: {<<: base}", "1:13 proxy.<<: must be a section or a list of sections"],
  ["proxy: {<<: [[{timeout: 1s}]]}", "1:14 proxy.<<: must be a section or a list of sections"],
  ["cluster: {join: [{a: b}]}", "1:18 cluster.join[0]: must be a string"],
  ["cluster: {join: [[a]]}", "1:18 cluster.join[0]: must be a string"],
  // Tags, directives, documents, keys.
  ["proxy: {bind_addr: !env ADDR}", "1:20 proxy.bind_addr: unresolved tag: !env"],
  ["proxy: {bind_addr: !!binary Og==}", "1:29 proxy.bind_addr: tag tag:yaml.org,2002:binary isn't supported"],
  ["proxy: !!omap [timeout: 1s]", "1:15 proxy: tag tag:yaml.org,2002:omap isn't supported"],
  ["proxy: !!set {timeout}", "1:14 proxy: tag tag:yaml.org,2002:set isn't supported"],
  ["proxy: {timeout: !!int soon}", "1:18 proxy.timeout: unresolved tag: tag:yaml.org,2002:int"],
  ["!!str", "1:6 : must be a section with keys"],
  ["%YAML 3.0\n---\nlog: {}", "1:7 : unsupported YAML version 3.0"],
  [
    "log: {level: info}\n---\nproxy: {timeout: 1s}",
    "3:1 : only one document is read, and this is a second one",
  ],
  ["# none\n---\n---\nproxy: {}", "4:1 : only one document is read, and this is a second one"],
  ["proxy: {timeout: 1s, timeout: 2s}", "1:22 proxy.timeout: map keys must be unique"],
  ["proxy: {timeout: 1s}\nlog: {}\nproxy: {}", "3:1 proxy: map keys must be unique"],
  ["? {a: b}\n: c", '1:3 {"a":"b"}: unknown key'],
  ["~: c", "1:1 null: unknown key"],
  ['"<<": {log: {}}', "1:1 <<: unknown key"],
])("rejects %j", (yaml, ...problems) => {
  expect(problemsOf(yaml)).toEqual(problems);
});

it("reports each problem of a merge in a list of sections", () => {
  expect(problemsOf("listeners:\n  - <<: *base\n    addr: *addr\n", AGENT)).toEqual([
    "3:11 listeners[0].addr: alias *addr has no anchor &addr before it",
    "2:9 listeners[0].<<: alias *base has no anchor &base before it",
  ]);
});

it("follows a limited number of aliases", () => {
  const merges = Array.from({ length: 30 }, (_, i) => `  - &a${i + 1} {<<: [*a${i}, *a${i}]}`).join("\n");
  expect(problemsOf(`listeners:\n  - &a0 {addr: 1}\n${merges}\n`, AGENT)).toContainEqual(
    expect.stringContaining("more than 10000 aliases"),
  );
});

it.each([
  [
    "sections without keys",
    "proxy:\nlog: ~\nupstream: {}\nadmin: {bind_addr: ':1'}",
    { admin: { bindAddr: ":1" }, upstream: {} },
  ],
  ["tags that don't change the type", "log: !!map {level: !!str info}", { log: { level: "info" } }],
  [
    "an empty text",
    'cluster: {node_id: "", node_id_prefix: !!str}',
    { cluster: { nodeId: "", nodeIdPrefix: "" } },
  ],
  [
    "an alias of an earlier value",
    "log: {level: &l info}\nproxy: {access_log: {level: *l}}",
    {
      log: { level: "info" },
      proxy: { accessLog: { level: "info" } },
    },
  ],
])("reads %s", (_, yaml, expected) => {
  expect(settingsOf(yaml)).toEqual(expected);
});

it.each([
  ["own keys before merged ones", "{<<: *a, addr: 2}"],
  ["own keys before merged ones that follow", "{addr: 2, <<: *a}"],
  ["the first of a list", "{<<: [{addr: 2}, *a]}"],
  ["a merged section before what it has merged itself", "{<<: {<<: *a, addr: 2}}"],
])("prefers %s", (_, item) => {
  const yaml = `listeners: [&a {addr: 1, endpoint_id: e}, ${item}]`;
  expect(settingsOf(yaml, AGENT)).toEqual({
    listeners: [
      { addr: "1", endpointId: "e" },
      { addr: "2", endpointId: "e" },
    ],
  });
});

it.each([
  ["log: {level: $U}", "1:14 log.level: environment variable U isn't set (${U:} allows that)"],
  [
    "cluster:\n  node_id: 'a-${E}'\n",
    "2:15 cluster.node_id: environment variable E is empty (${E:} allows that)",
  ],
  [
    "cluster: {join: [$L, ${U}]}",
    "1:22 cluster.join[2]: environment variable U isn't set (${U:} allows that)",
  ],
  ["log:\n  ${U}: info\n", "2:3 log.null: environment variable U isn't set (${U:} allows that)"],
  ["$U", "1:1 : environment variable U isn't set (${U:} allows that)"],
  // After several lines were inserted, positions are still those in the file.
  ["$TOP\nproxy: {timeout: *t}", "2:18 proxy.timeout: alias *t has no anchor &t before it"],
])("rejects variables without a value: %j", (yaml, problem) => {
  const env = { E: "", L: "a, b, c", TOP: "log:\n  level: info\nadmin: {}" };
  const [first] = expanded(yaml, env).problems;
  expect(`${first?.place.line}:${first?.place.column} ${first?.path}: ${first?.message}`).toBe(problem);
});

it("needs no variables for comments", () => {
  const yaml = "# ${U}\nlog:\n  level: info # $U\ncluster: {node_id: '# $X'}\n";
  expect(expanded(yaml, { X: "x" })).toMatchObject({
    problems: [],
    settings: { log: { level: "info" }, cluster: { nodeId: "# x" } },
  });
});

it("takes an empty default as not set", () => {
  const yaml = "cluster:\n  node_id: ${U:}\nlog: {level: ${U:}}\n";
  expect(expanded(yaml, {})).toMatchObject({ problems: [], settings: { cluster: {}, log: {} } });
});
