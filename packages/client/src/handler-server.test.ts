import { createServer, type RequestListener, Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createServer as createNetServer } from "node:net";
import { describe, expect, it } from "vitest";
import { serverOf } from "./handler-server.js";

const made = (handler: unknown, options = {}): Server =>
  serverOf(handler as RequestListener, options) as Server;

describe("serverOf", () => {
  it.each([
    ["a request listener", (_request: unknown, _response: unknown): void => {}],
    ["a fetch handler", { fetch: () => new Response() }],
    ["a fetch function", (_request: unknown) => new Response()],
  ])("creates a server for %s, with a Piko server's limits", (_what, handler) => {
    const server = made(handler);
    expect(server).toBeInstanceOf(Server);
    // The other limit is private, and is tested where it takes effect.
    expect(server.requestTimeout).toBe(0);
  });

  it.each([createServer(), createNetServer()])("returns a server as it is", (server) => {
    expect(made(server)).toBe(server);
  });

  it.each([undefined, null, {}, [], "app", 8080, { fetch: "x" }, { callback: () => {} }])(
    "rejects %j",
    (handler) => {
      const refusal = {
        code: "PIKO_CLIENT_BAD_OPTION",
        message: expect.stringMatching(/^handler: not a function/),
      };
      expect(() => made(handler)).toThrow(expect.objectContaining(refusal));
    },
  );

  it("rejects a server that requires TLS", () => {
    const message = expect.stringMatching(/^server: connections come without TLS/);
    expect(() => made(createHttpsServer())).toThrow(expect.objectContaining({ message }));
  });

  it.each([0, -1, 1.5, Number.NaN, "1k"])("rejects %j as a limit", (maxHeaderBytes) => {
    const message = expect.stringMatching(/^maxHeaderBytes: /);
    expect(() => made(() => {}, { maxHeaderBytes })).toThrow(expect.objectContaining({ message }));
  });
});
