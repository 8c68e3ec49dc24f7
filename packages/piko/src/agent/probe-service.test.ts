import { FakeClock } from "@piko/testkit";
import { afterEach, describe, expect, it } from "vitest";
import { NO_TLS, Fixtures } from "../../test/agent-rig.js";
import { parseServiceAddress } from "../base/service-address.js";
import { ServiceConnector } from "./connect-service.js";
import { probeService } from "./probe-service.js";

const fixtures = new Fixtures();
afterEach(() => fixtures.dispose());

function probe(addr: string, signal = new AbortController().signal): Promise<string | undefined> {
  const connector = new ServiceConnector({
    addr: parseServiceAddress(addr, "http"),
    tls: NO_TLS,
    keepAliveMs: 0,
  });
  return probeService(connector, { timeoutMs: 5_000, clock: new FakeClock(), signal });
}

describe("probeService", () => {
  it("finds a service, and disconnects", async () => {
    let closed: () => void = () => {};
    const hungUp = new Promise<void>((resolve) => (closed = resolve));
    const service = await fixtures.raw((socket) => socket.once("end", () => closed()).resume());
    expect(await probe(`127.0.0.1:${service.port}`)).toBeUndefined();
    await hungUp;
  });

  it("reports why there is none", async () => {
    expect(await probe("127.0.0.1:1")).toContain("ECONNREFUSED");
  });

  it("reports that a service doesn't speak TLS", async () => {
    const service = await fixtures.raw((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    expect(await probe(`https://127.0.0.1:${service.port}`)).toMatch(/wrong version number/);
  });

  it("ends when its result is no longer needed", async () => {
    const stop = new AbortController();
    stop.abort();
    expect(await probe("127.0.0.1:1", stop.signal)).toBeUndefined();
  });
});
