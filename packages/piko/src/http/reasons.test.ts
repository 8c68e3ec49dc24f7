import { expect, it } from "vitest";
import { errorBody, errorResponse } from "./h1/error-response.js";
import { ALL_REASONS, reasonOf, REASONS } from "./reasons.js";

it("reasons are found by code and by place, and an unknown code has none", () => {
  for (const [place, reason] of ALL_REASONS.entries()) {
    expect(reason.place).toBe(place);
    expect(reason.code).toMatch(/^[a-z_]+$/);
    expect([reasonOf(reason.code), REASONS[reason.code]]).toEqual([reason, reason]);
  }
  expect([reasonOf("constructor"), reasonOf("x"), reasonOf(undefined)]).toEqual(Array(3).fill(undefined));
});

it("an error response has the endpoint that failed, and the reason, in ASCII", () => {
  const endpointId = 'é"\u202e';
  const answer = { status: 502, message: "no", reason: REASONS.lost, endpointId };
  const body = errorBody(answer);
  expect(body).toBe('{"error":"no","endpoint":"\\u00e9\\"\\u202e","reason":"lost"}\n');
  expect(JSON.parse(body)).toEqual({ error: "no", endpoint: endpointId, reason: "lost" });
  expect(errorBody({ ...answer, endpointId: "" })).toBe('{"error":"no","reason":"lost"}\n');
  expect(errorBody({ status: 502, message: "no" })).toBe('{"error":"no"}\n');
  const whole = errorResponse({ ...answer, close: false, headOnly: true });
  expect(whole).toContain("\r\nx-piko-reason: lost\r\n");
  expect(whole.endsWith("\r\n\r\n")).toBe(true);
});

it("a 401 is identical to Go Piko's, byte for byte", () => {
  const refused = { status: 401, message: "no", reason: REASONS.unauthorized, endpointId: "e" };
  expect(errorResponse({ ...refused, close: false, headOnly: false })).toBe(
    "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: 14\r\n\r\n" +
      '{"error":"no"}',
  );
});
