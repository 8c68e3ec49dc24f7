// Which results of a health check count as healthy, and how many are needed for a change.

import { FakeClock } from "@piko/testkit";
import type { Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { NO_TLS, Fixtures } from "../../test/agent-rig.js";
import { eventually } from "../../test/port-peer.js";
import { parseServiceAddress } from "../base/service-address.js";
import type { HealthCheckConfig } from "../config/health-check.js";
import { ServiceConnector } from "./connect-service.js";
import { HealthCheck } from "./health-check.js";

const fixtures = new Fixtures();
afterEach(() => fixtures.dispose());

const CONFIG: HealthCheckConfig = {
  path: "/health?x",
  tcp: false,
  intervalMs: 5_000,
  timeoutMs: 2_000,
  unhealthyThreshold: 3,
  healthyThreshold: 2,
};

/** A check of a service that answers as `answer` does, and what the check has reported. */
class Stage {
  readonly clock = new FakeClock();
  readonly reported: string[] = [];
  /** Finished checks. */
  results = 0;
  readonly check: HealthCheck;

  constructor(port: number, config: HealthCheckConfig = CONFIG) {
    const connector = new ServiceConnector({
      addr: parseServiceAddress(`127.0.0.1:${port}`, "http"),
      tls: NO_TLS,
      keepAliveMs: 0,
    });
    this.check = new HealthCheck({
      config,
      connector,
      host: "service:1",
      clock: this.clock,
      onChange: (healthy, reason) => void this.reported.push(healthy ? "well" : reason),
    });
    fixtures.add({ [Symbol.asyncDispose]: () => Promise.resolve(this.check.stop()) });
  }

  /** Waits until a check has finished: the next one is due after the interval. */
  async over(): Promise<void> {
    await eventually(() => this.clock.nextIn === CONFIG.intervalMs);
  }

  /** Runs the next check to its end. */
  async next(): Promise<void> {
    this.clock.advance(CONFIG.intervalMs);
    await this.over();
  }
}

describe("a health check", () => {
  it.each([
    ["a status of 200", "HTTP/1.1 200 OK\r\n\r\n", "well"],
    ["a redirect", "HTTP/1.0 302 Found\r\n\r\n", "well"],
    ["a status without a reason", "HTTP/1.1 204\r\n\r\n", "well"],
    ["a status of 404", "HTTP/1.1 404 Not Found\r\n\r\n", "status 404"],
    ["a status of 503", "HTTP/1.1 503 Busy\r\n\r\n", "status 503"],
    ["an interim response", "HTTP/1.1 103 Early\r\n\r\n", "status 103"],
    ["an answer that isn't HTTP", "hello\r\n", "the answer is not HTTP/1.1"],
    ["an endless status line", "x".repeat(2_000), "the answer is not HTTP/1.1"],
    ["a connection closed without an answer", "", "connection closed without an answer"],
  ])("gets the right result for %s", async (_title, answer, reported) => {
    let request = "";
    const service = await fixtures.raw((socket: Socket) => {
      socket.once("data", (bytes: Buffer) => {
        request = bytes.toString("latin1");
        socket.end(answer);
      });
    });
    const stage = new Stage(service.port);
    stage.check.start();
    await stage.over();
    expect(stage.reported).toEqual([reported]);
    expect(request).toBe(
      "GET /health?x HTTP/1.1\r\nHost: service:1\r\nUser-Agent: piko-health-check\r\nConnection: close\r\n\r\n",
    );
    await service.gone(0);
  });

  it("gives up on a service that doesn't answer", async () => {
    const service = await fixtures.raw(() => {});
    const stage = new Stage(service.port);
    stage.check.start();
    await service.connection(0);
    stage.clock.advance(CONFIG.timeoutMs);
    expect(stage.reported).toEqual(["no answer in 2000 ms"]);
    await service.gone(0);
  });

  it("without a path only needs a connection, and reports why there is none", async () => {
    const tcp = { ...CONFIG, path: "", tcp: true };
    const service = await fixtures.raw((socket: Socket) => void socket.on("data", () => socket.destroy()));
    const stage = new Stage(service.port, tcp);
    stage.check.start();
    await stage.over();
    expect(stage.reported).toEqual(["well"]);
    const refusing = new Stage(1, tcp);
    refusing.check.start();
    await refusing.over();
    expect(refusing.reported).toEqual([expect.stringContaining("ECONNREFUSED")]);
  });

  it("reports the first result, and later a change after as many results in a row as its threshold", async () => {
    let well = true;
    const service = await fixtures.raw((socket: Socket) => {
      socket.once("data", () => socket.end(`HTTP/1.1 ${well ? 200 : 500} x\r\n\r\n`));
    });
    const stage = new Stage(service.port);
    stage.check.start();
    await stage.over();
    const seen: string[] = [];
    for (const result of "++--+---+-+++") {
      well = result === "+";
      await stage.next();
      seen.push(`${result}${stage.reported.at(-1) === "well" ? "+" : "-"}`);
    }
    expect(seen.join(" ")).toBe("++ ++ -+ -+ ++ -+ -+ -- +- -- +- ++ ++");
    expect(stage.reported).toEqual(["well", "status 500", "well"]);
  });

  it("reports nothing after it is stopped, and leaves nothing behind", async () => {
    const service = await fixtures.raw(() => {});
    const stage = new Stage(service.port);
    stage.check.start();
    await service.connection(0);
    stage.check.stop();
    await service.gone(0);
    expect(stage.reported).toEqual([]);
    stage.clock.assertIdle();
  });
});
