// Which messages are gRPC, and the errors that gRPC clients get.

import { describe, expect, it } from "vitest";
import { grpcRequestType, grpcStatus, grpcStatusLines, grpcTimeoutMs, isStreaming } from "./grpc.js";
import { parseRequestHead } from "./h1/parse-request-head.js";
import { HEAD_COMPLETE, RequestHead } from "./head.js";

function headOf(fields: string, method = "POST"): RequestHead {
  const bytes = Buffer.from(`${method} /s/m HTTP/1.1\r\nHost: e\r\n${fields}\r\n`, "latin1");
  const head = new RequestHead(20);
  expect(parseRequestHead(head, bytes, 0, bytes.length)).toBe(HEAD_COMPLETE);
  return head;
}

describe("a request", () => {
  it.each([
    ["application/grpc", "application/grpc", true],
    ["application/grpc+proto", "application/grpc+proto", true],
    ["Application/GRPC+json; charset=utf-8", "Application/GRPC+json", true],
    ["application/grpc-web", "application/grpc-web", false],
    ["application/grpc-web-text+proto", "application/grpc-web-text+proto", false],
    ["application/grpcfoo", undefined, false],
    ["application/grpc+", undefined, false],
    ["application/grpc evil", undefined, false],
    ["application/json", undefined, false],
  ])("with content type %s has the gRPC type %s", (value, type, streaming) => {
    const found = grpcRequestType(headOf(`Content-Type: ${value}\r\n`));
    expect([found, isStreaming(found)]).toEqual([type, streaming]);
  });

  it("with another method, or without a content type, isn't gRPC", () => {
    expect(grpcRequestType(headOf("Content-Type: application/grpc\r\n", "GET"))).toBeUndefined();
    expect(grpcRequestType(headOf(""))).toBeUndefined();
  });

  it.each([
    ["1H", 3_600_000],
    ["2M", 120_000],
    ["10S", 10_000],
    ["250m", 250],
    ["1500u", 1.5],
    ["99999999n", 99.999_999],
    ["123456789m", Number.POSITIVE_INFINITY],
    ["10", Number.POSITIVE_INFINITY],
    ["-1S", Number.POSITIVE_INFINITY],
  ])("with grpc-timeout %s waits %f ms", (value, ms) => {
    expect(grpcTimeoutMs(headOf(`grpc-timeout: ${value}\r\n`))).toBeCloseTo(ms, 6);
  });
});

it.each([
  [400, 13],
  [401, 16],
  [403, 7],
  [404, 12],
  [408, 2],
  [429, 14],
  [502, 14],
  [503, 14],
  [504, 14],
])("HTTP status %i becomes gRPC status %i", (http, grpc) => {
  expect(grpcStatus(http)).toBe(grpc);
});

it("a status message is percent-encoded", () => {
  expect(grpcStatusLines(14, "50% off\r\nx: y")).toBe(
    "grpc-status: 14\r\ngrpc-message: 50%25 off%0D%0Ax: y\r\n",
  );
});
