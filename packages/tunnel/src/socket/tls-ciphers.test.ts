import { DEFAULT_CIPHERS } from "node:tls";
import { expect, it } from "vitest";
import { preferCheapest, TLS_CIPHERS } from "./tls-ciphers.js";

it("are Node's, with the cheapest of TLS 1.3 first", () => {
  expect(TLS_CIPHERS.split(":")[0]).toBe("TLS_AES_128_GCM_SHA256");
  expect(TLS_CIPHERS.split(":").sort()).toEqual(DEFAULT_CIPHERS.split(":").sort());
});

it("are unchanged if the cheapest was left out", () => {
  expect(preferCheapest("TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES128-GCM-SHA256")).toBe(
    "TLS_AES_256_GCM_SHA384:ECDHE-RSA-AES128-GCM-SHA256",
  );
});
