import { FakeClock } from "@piko/testkit";
import { TunnelError } from "@piko/tunnel";
import { expect, it } from "vitest";
import type { LimitCounters } from "../../net/limit-counters.js";
import { Metrics } from "../../observability/metrics.js";
import { ReconnectWaits } from "./reconnect-waits.js";
import type { Tunnel } from "./tunnel.js";
import { tunnelEnd, UpstreamMetrics, type UpstreamLimit } from "./upstream-metrics.js";
import { Upstreams } from "./upstreams.js";

it("reports tunnels, requests and streams", async () => {
  const metrics = new Metrics();
  const upstreams = new Upstreams(
    new ReconnectWaits(new FakeClock(), 5_000, 10),
    () => {},
    () => 0,
  );
  const counts = new UpstreamMetrics(metrics, upstreams, {} as LimitCounters<UpstreamLimit>);
  const add = (endpointId: string, streamCount: number): Tunnel => {
    const tunnel = { endpointId, streamCount, usable: true, accepting: true } as Tunnel;
    upstreams.add(tunnel);
    return tunnel;
  };
  add("a", 3);
  const leaving = add("b", 4);
  add("b", 0);
  upstreams.drain(leaving);
  const silent = add("b", 0);
  Object.assign(silent, { doubtful: true });
  upstreams.onDoubt(silent);
  upstreams.onDoubt(silent);
  const busy = upstreams.find("b");
  if (busy !== undefined) busy.requests = 7;
  upstreams.waits.onLost("c");
  upstreams.waits.wait("c", { onUpstream() {} });
  counts.requests = 9;
  counts.retries = 2;
  counts.opened = 5;
  counts.closed[tunnelEnd(new TunnelError("PIKO_TUNNEL_SOCKET", "reset"))]++;
  counts.waited.expired = 3;
  const text = metrics.text();
  expect(text).toContain('\npiko_upstreams_closed_total{reason="reset"} 1\n');
  expect(text).toContain('\npiko_upstreams_waits_total{result="expired"} 3\n');
  const shown = [...text.matchAll(/^piko_upstreams_(\w+) (\d+)$/gm)].map(([, name, value]) => [name, value]);
  expect(Object.fromEntries(shown)).toEqual({
    connected_upstreams: "4",
    opened_total: "5",
    doubtful_upstreams: "1",
    doubts_total: "2",
    draining_upstreams: "1",
    registered_endpoints: "2",
    upstream_requests_total: "9",
    retries_total: "2",
    waiting_requests: "1",
    open_streams: "7",
    busiest_tunnel_streams: "4",
    busiest_endpoint_requests: "7",
  });
});
