// Agents whose own port is scraped (`server.enabled`): whether they serve, and the state of their services.

import { percentiles, processPanels, quantile, rate, sumRate } from "./common.mjs";
import { dashboard, graph, query, stacked, stat, variable } from "./panels.mjs";

const PROCESS = 'job=~"$job"';
const SELECT = `${PROCESS},endpoint=~"$endpoint"`;
const grows = (metric) => query(rate(metric, SELECT), "{{instance}} {{endpoint}}");

export const agents = () =>
  dashboard({
    uid: "piko-agents",
    title: "Piko / Agents",
    description:
      "Tunnels and requests of agents by endpoint, the latency of their services, and their resources.",
    variables: [
      variable("job", "Agents", "label_values(piko_agent_tunnels, job)"),
      variable("endpoint", "Endpoint", 'label_values(piko_agent_tunnels{job=~"$job"}, endpoint)'),
    ],
    rows: [
      [
        "Now",
        [
          stat("Agents", "short", `count(count by (instance) (piko_agent_tunnels{${SELECT}}))`),
          stat(
            "Disconnected listeners",
            "short",
            `count(piko_agent_connected{${SELECT}} == 0) or vector(0)`,
            [
              ["green", null],
              ["red", 1],
            ],
            "Listeners without a tunnel, or with an unhealthy service.",
          ),
          stat("Tunnels", "short", `sum(piko_agent_tunnels{${SELECT}})`, [
            ["red", null],
            ["green", 1],
          ]),
          stat("Requests", "reqps", `sum(${rate("piko_agent_requests_total", SELECT)})`),
          stat("Latency, p99", "s", quantile(0.99, "piko_agent_request_latency_seconds", SELECT)),
        ],
      ],
      [
        "Tunnels",
        [
          graph(
            "Tunnels",
            "short",
            [query(`piko_agent_tunnels{${SELECT}}`, "{{instance}} {{endpoint}}")],
            "Two for each listener, unless connect.tunnels says otherwise.",
          ),
          graph("Tunnels opened", "ops", [grows("piko_agent_tunnels_opened_total")]),
          graph(
            "Attempts to reconnect",
            "ops",
            [grows("piko_agent_reconnects_total")],
            "Attempts while no tunnel was left.",
          ),
        ],
      ],
      [
        "Requests",
        [
          stacked("Requests by status", "reqps", [
            query(sumRate("status", "piko_agent_requests_total", SELECT), "{{status}}"),
          ]),
          stacked("Requests by endpoint", "reqps", [
            query(sumRate("endpoint", "piko_agent_requests_total", SELECT), "{{endpoint}}"),
          ]),
          stacked(
            "Failed requests by reason",
            "reqps",
            [
              query(
                `${sumRate("endpoint, reason", "piko_agent_failed_requests_total", SELECT)} > 0`,
                "{{endpoint}} {{reason}}",
              ),
            ],
            "docs/reference/reasons.md explains each reason.",
          ),
          graph("Latency", "s", percentiles("piko_agent_request_latency_seconds", SELECT)),
          graph(
            "Latency of services, p99",
            "s",
            [
              query(
                quantile(0.99, "piko_agent_upstream_latency_seconds", SELECT, "endpoint"),
                "{{endpoint}}",
              ),
            ],
            "From the start of a request to the service until its response head.",
          ),
          graph("Requests in progress", "short", [
            query(`piko_agent_requests_in_flight{${SELECT}}`, "{{instance}} {{endpoint}}"),
          ]),
          graph("Body bytes", "Bps", [
            query(sumRate("endpoint", "piko_agent_request_size_bytes_sum", SELECT), "{{endpoint}} requests"),
            query(
              sumRate("endpoint", "piko_agent_response_size_bytes_sum", SELECT),
              "{{endpoint}} responses",
            ),
          ]),
        ],
      ],
      [
        "Process",
        [
          ...processPanels(PROCESS),
          graph("Limits reached on the agents' own port", "ops", [
            query(
              sumRate("instance, limit", "piko_agent_server_limited_total", PROCESS),
              "{{instance}} {{limit}}",
            ),
          ]),
        ],
      ],
    ],
  });
