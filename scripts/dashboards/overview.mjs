// Whether clients are served, in all clusters or in the selected one.

import { percentiles, quantile, rate, sumRate } from "./common.mjs";
import { dashboard, graph, query, stacked, stat, variable } from "./panels.mjs";

const SELECT = 'job=~"$job"';

/** `clientReasons` are the codes of reasons that are the client's fault. */
export function overview(clientReasons) {
  const failing = `${SELECT},reason!~"${clientReasons.join("|")}"`;
  return dashboard({
    uid: "piko-overview",
    title: "Piko / Overview",
    description: "Requests, failures and latency of clusters, and the load of their nodes.",
    variables: [variable("job", "Cluster", "label_values(piko_cluster_nodes, job)")],
    rows: [
      [
        "Now",
        [
          stat(
            "Firing alerts",
            "short",
            'count(ALERTS{alertname=~"Piko.*",alertstate="firing"}) or vector(0)',
            [
              ["green", null],
              ["red", 1],
            ],
          ),
          stat("Nodes", "short", `count(piko_cluster_nodes{${SELECT},status="active"})`),
          stat("Tunnels", "short", `sum(piko_upstreams_connected_upstreams{${SELECT}})`, [
            ["red", null],
            ["green", 1],
          ]),
          stat("Requests", "reqps", `sum(${rate("piko_proxy_requests_total", SELECT)})`),
          stat(
            "Failed requests",
            "percentunit",
            `sum(${rate("piko_proxy_failed_requests_total", failing)}) / sum(${rate("piko_proxy_requests_total", SELECT)})`,
            [
              ["green", null],
              ["orange", 0.005],
              ["red", 0.02],
            ],
            "Without failures that clients caused.",
          ),
          stat("Latency, p99", "s", quantile(0.99, "piko_proxy_request_latency_seconds", SELECT)),
        ],
      ],
      [
        "Requests",
        [
          stacked(
            "Requests by status",
            "reqps",
            [query(sumRate("status", "piko_proxy_requests_total", SELECT), "{{status}}")],
            "A request that is forwarded to another node is counted on both. 499: the client left before the response. 101: upgraded connections.",
          ),
          stacked(
            "Failed requests by reason",
            "reqps",
            [query(`${sumRate("reason", "piko_proxy_failed_requests_total", SELECT)} > 0`, "{{reason}}")],
            "docs/reference/reasons.md explains each reason. Errors that a service itself returns aren't counted.",
          ),
          graph(
            "Latency",
            "s",
            percentiles("piko_proxy_request_latency_seconds", SELECT),
            "Until the last byte. Streams and upgraded connections count with their duration.",
          ),
          graph(
            "Latency of agents and services",
            "s",
            percentiles("piko_proxy_upstream_latency_seconds", SELECT),
            "From sending a request to an agent until its response head.",
          ),
          graph("Requests in progress", "short", [
            query(`sum by (job) (piko_proxy_requests_in_flight{${SELECT}})`, "{{job}} in progress"),
            query(
              `sum by (job) (piko_upstreams_waiting_requests{${SELECT}})`,
              "{{job}} waiting for an agent",
            ),
          ]),
          graph(
            "Retried requests",
            "reqps",
            [query(sumRate("job", "piko_upstreams_retries_total", SELECT), "{{job}}")],
            "Requests that were sent again because their agent was lost. Clients don't notice, but something is wrong.",
          ),
        ],
      ],
      [
        "Endpoints (proxy.endpoint_metrics)",
        [
          graph("Busiest endpoints", "reqps", [
            query(`topk(10, ${sumRate("endpoint", "piko_endpoint_requests_total", SELECT)})`, "{{endpoint}}"),
          ]),
          graph("Failing endpoints", "reqps", [
            query(
              `topk(10, ${sumRate("endpoint", "piko_endpoint_failed_requests_total", SELECT)} > 0)`,
              "{{endpoint}}",
            ),
          ]),
          graph("Slowest endpoints, p99", "s", [
            query(
              `topk(10, ${quantile(0.99, "piko_endpoint_request_latency_seconds", SELECT, "endpoint")})`,
              "{{endpoint}}",
            ),
          ]),
        ],
      ],
      [
        "Nodes",
        [
          graph("Requests", "reqps", [
            query(sumRate("instance", "piko_proxy_requests_total", SELECT), "{{instance}}"),
          ]),
          graph("Tunnels", "short", [query(`piko_upstreams_connected_upstreams{${SELECT}}`, "{{instance}}")]),
          graph("Client connections", "short", [query(`piko_proxy_connections{${SELECT}}`, "{{instance}}")]),
          graph(
            "CPU",
            "percentunit",
            [query(rate("process_cpu_seconds_total", SELECT), "{{instance}}")],
            "Share of one core, which is the maximum for the event loop.",
          ),
          graph("Memory", "bytes", [query(`process_resident_memory_bytes{${SELECT}}`, "{{instance}}")]),
          graph("Event loop delay, p99", "s", [
            query(`nodejs_eventloop_lag_p99_seconds{${SELECT}}`, "{{instance}}"),
          ]),
        ],
      ],
    ],
  });
}
