import { describe, expect, it } from "vitest";
import { hideSecrets } from "./hide-secrets.js";

const SECRET = new Set(["--connect.token"]);

describe("hideSecrets", () => {
  it.each([
    [
      ["agent", "http", "e", "1", "--connect.token", "abc"],
      ["agent", "http", "e", "1", "--connect.token", "[redacted]"],
    ],
    [
      ["--connect.token=abc=", "agent"],
      ["--connect.token=[redacted]", "agent"],
    ],
    [
      ["--connect.token=a", "--connect.token", "b"],
      ["--connect.token=[redacted]", "--connect.token", "[redacted]"],
    ],
  ])("shows %j without its secret", (args, shown) => {
    expect(hideSecrets(args, SECRET)).toEqual(shown);
  });

  it.each([[["agent", "--connect.token-file", "abc"]], [["--connect.token"]], [[]]])(
    "leaves %j unchanged",
    (args) => {
      expect(hideSecrets(args, SECRET)).toBeUndefined();
    },
  );
});
