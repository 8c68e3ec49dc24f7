import { expect, it } from "vitest";
import { hostLabelProblem } from "./host-label.js";

it.each(["a", "my-endpoint", "my_endpoint", "3000", "a".repeat(63)])("%s can be a label of a host", (id) => {
  expect(hostLabelProblem(id)).toBeUndefined();
});

it.each([
  ["my.endpoint", "it has a dot"],
  ["My-endpoint", "it has capital letters"],
  ["a".repeat(64), "it is longer than 63 characters"],
  ["-a", "it has other characters than letters, digits, - and _"],
  ["ä", "it has other characters than letters, digits, - and _"],
])("%s can't be a label of a host: %s", (id, why) => {
  expect(hostLabelProblem(id)).toBe(why);
});
