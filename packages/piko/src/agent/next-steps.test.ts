import { describe, expect, it } from "vitest";
import { listenerConfig } from "../../test/listener-config.js";
import { nextSteps } from "./next-steps.js";

const NOTHING = { url: undefined, proxyPort: undefined, otherAgents: 0, proxyTls: false };
const web = listenerConfig("web", "3000");
const redis = listenerConfig("redis", "6379", "tcp");

describe("nextSteps", () => {
  it("shows the url that the server has announced, and nothing else if that is enough", () => {
    const announced = { ...NOTHING, url: "https://web.piko.example.com" };
    const lines = nextSteps([{ config: web, announced }], "http://localhost:8001", "piko");
    expect(lines).toEqual(["https://web.piko.example.com -> http://localhost:3000"]);
  });

  it("shows how to reach TCP services through that url", () => {
    const announced = { ...NOTHING, url: "https://redis.piko.example.com" };
    expect(nextSteps([{ config: redis, announced }], "https://agents.example.com", "npx piko")).toEqual([
      "https://redis.piko.example.com -> tcp://localhost:6379",
      "  npx piko forward tcp 6380 redis --connect.url https://redis.piko.example.com",
    ]);
  });

  it("shows that the address isn't known, and uses the port that the server has announced", () => {
    const announced = { ...NOTHING, proxyPort: 9000 };
    expect(nextSteps([{ config: web, announced }], "http://127.0.0.1:9001", "piko")).toEqual([
      "web -> http://localhost:3000",
      "The server doesn't announce its public URL. Without a proxy in front, it is:",
      "  curl -H 'x-piko-endpoint: web' http://127.0.0.1:9000/",
    ]);
    const secure = { ...announced, proxyTls: true };
    const lines = nextSteps([{ config: web, announced: secure }], "http://127.0.0.1:9001", "piko");
    expect(lines.at(-1)).toBe("  curl -H 'x-piko-endpoint: web' https://127.0.0.1:9000/");
  });

  it("uses the default port if the server announces nothing, as Go's servers do", () => {
    const config = listenerConfig("web", "https://[::1]:3000/base");
    expect(nextSteps([{ config, announced: NOTHING }], "http://[::1]:8001", "piko")).toEqual([
      "web -> https://[::1]:3000/base",
      "The server doesn't announce its public URL. Without a proxy in front and with its default port, it is:",
      "  curl -H 'x-piko-endpoint: web' http://[::1]:8000/",
    ]);
  });
});
