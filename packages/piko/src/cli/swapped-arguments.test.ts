import { describe, expect, it } from "vitest";
import { refuseSwapped } from "./swapped-arguments.js";

const RIGHT = "endpoint first, then address";

describe("refuseSwapped", () => {
  it.each([
    ["web", "3000"],
    ["web", "localhost:3000"],
    ["web", "http://localhost:3000"],
  ])("asks whether address %s and endpoint %s are swapped", (address, endpoint) => {
    expect(() => refuseSwapped({ address, endpoint }, "http", RIGHT)).toThrow(
      `config: <addr>: are the arguments swapped? ${RIGHT}`,
    );
  });

  it.each([
    ["3000", "web"],
    ["3000", "4000"],
    ["nonsense", "web"],
  ])("accepts address %s and endpoint %s", (address, endpoint) => {
    refuseSwapped({ address, endpoint }, "http", RIGHT);
  });
});
