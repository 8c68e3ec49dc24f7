import { expect, it } from "vitest";
import { limitNodes, MAX_NODES } from "./cluster-metrics.js";

const nodes = (count: number): (readonly [string, number])[] =>
  Array.from({ length: count }, (_, at) => [`n${at}`, 1]);
const addUp = (others: readonly (readonly [string, number])[]): readonly [string, number] => [
  "other",
  others.reduce((sum, [, count]) => sum + count, 0),
];

it("shows up to MAX_NODES nodes by name, and the rest as one", () => {
  expect(limitNodes(nodes(MAX_NODES), addUp)).toEqual(nodes(MAX_NODES));
  expect(limitNodes(nodes(MAX_NODES + 40), addUp)).toEqual([...nodes(MAX_NODES), ["other", 40]]);
});
