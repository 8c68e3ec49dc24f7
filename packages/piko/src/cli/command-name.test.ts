import { expect, it } from "vitest";
import { commandName } from "./command-name.js";

it("uses the name with npx if npx started the program", () => {
  expect(commandName({ npm_command: "exec" })).toBe("npx piko");
  expect(commandName({ npm_command: "run-script" })).toBe("piko");
  expect(commandName({})).toBe("piko");
});
