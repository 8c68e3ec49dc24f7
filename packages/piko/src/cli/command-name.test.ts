import { expect, it } from "vitest";
import { commandName } from "./command-name.js";

it("calls the program as npx does, where npx has called it", () => {
  expect(commandName({ npm_command: "exec" })).toBe("npx piko");
  expect(commandName({ npm_command: "run-script" })).toBe("piko");
  expect(commandName({})).toBe("piko");
});
