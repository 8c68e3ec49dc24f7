// Everything about a node except its gossip: requests, tunnels, limits, tokens, certificates, process.

import { percentiles, processPanels, rate, sumRate } from "./common.mjs";
import { dashboard, graph, query, stacked, variable } from "./panels.mjs";

const SELECT = 'job=~"$job",instance=~"$instance"';
const now = (metric, legend = "{{instance}}") => query(`${metric}{${SELECT}}`, legend);
const grows = (metric, legend = "{{instance}}") => query(rate(metric, SELECT), legend);

export const node = () =>
  dashboard({
    uid: "piko-node",
    title: "Piko / Node",
    description: "Requests, tunnels, limits, authentication, TLS and resources of single nodes.",
    variables: [
      variable("job", "Cluster", "label_values(piko_cluster_nodes, job)"),
      variable("instance", "Node", 'label_values(piko_cluster_nodes{job=~"$job"}, instance)'),
    ],
    rows: [
      [
        "Requests",
        [
          stacked("Requests by status", "reqps", [
            query(sumRate("status", "piko_proxy_requests_total", SELECT), "{{status}}"),
          ]),
          stacked("Failed requests by reason", "reqps", [
            query(`${sumRate("reason", "piko_proxy_failed_requests_total", SELECT)} > 0`, "{{reason}}"),
          ]),
          graph("Latency", "s", percentiles("piko_proxy_request_latency_seconds", SELECT)),
          graph(
            "Latency of agents and services",
            "s",
            percentiles("piko_proxy_upstream_latency_seconds", SELECT),
          ),
          graph("Body bytes", "Bps", [
            grows("piko_proxy_request_size_bytes_sum", "{{instance}} requests"),
            grows("piko_proxy_response_size_bytes_sum", "{{instance}} responses"),
          ]),
          graph("Requests in progress", "short", [
            now("piko_proxy_requests_in_flight"),
            now("piko_upstreams_waiting_requests", "{{instance}} waiting for an agent"),
          ]),
          graph("Where requests go", "reqps", [
            grows("piko_upstreams_upstream_requests_total", "{{instance}} own tunnels"),
            query(
              sumRate("instance", "piko_upstreams_remote_requests_total", SELECT),
              "{{instance}} other nodes",
            ),
          ]),
          graph("Retried requests", "reqps", [grows("piko_upstreams_retries_total")]),
          graph(
            "Waits for agents",
            "reqps",
            [
              query(
                sumRate("instance, result", "piko_upstreams_waits_total", SELECT),
                "{{instance}} {{result}}",
              ),
            ],
            "Requests that waited for an agent to reconnect (proxy.reconnect_wait), by whether one did.",
          ),
        ],
      ],
      [
        "Tunnels",
        [
          graph("Tunnels", "short", [
            now("piko_upstreams_connected_upstreams"),
            now("piko_upstreams_draining_upstreams", "{{instance}} draining"),
            now("piko_upstreams_doubtful_upstreams", "{{instance}} in doubt"),
            now("piko_upstreams_pending_connections", "{{instance}} connecting"),
          ]),
          graph("Tunnels opened", "ops", [grows("piko_upstreams_opened_total")]),
          graph(
            "Tunnels ended, by reason",
            "ops",
            [
              query(
                sumRate("instance, reason", "piko_upstreams_closed_total", SELECT),
                "{{instance}} {{reason}}",
              ),
            ],
            "closed: a normal end. eof, reset: agent or network lost. ping_timeout, open_timeout: a silent agent.",
          ),
          graph(
            "Doubts",
            "ops",
            [grows("piko_upstreams_doubts_total")],
            "An agent left a stream or a ping unanswered for a second.",
          ),
          graph("Streams", "short", [
            now("piko_upstreams_open_streams"),
            now("piko_upstreams_busiest_tunnel_streams", "{{instance}} busiest tunnel"),
            now("piko_upstreams_busiest_endpoint_requests", "{{instance}} busiest endpoint"),
          ]),
          graph("Endpoints", "short", [now("piko_upstreams_registered_endpoints")]),
          graph(
            "Tunnels asked to move",
            "ops",
            [grows("piko_upstreams_shed_total")],
            "Tunnels that rebalancing asked to move to another node.",
          ),
        ],
      ],
      [
        "Limits",
        [
          graph(
            "Limits reached on the proxy port",
            "ops",
            [query(`${sumRate("limit", "piko_proxy_limited_total", SELECT)} > 0`, "{{limit}}")],
            "docs/reference/limits.md explains each limit.",
          ),
          graph("Limits reached on the upstream port", "ops", [
            query(`${sumRate("limit", "piko_upstreams_limited_total", SELECT)} > 0`, "{{limit}}"),
          ]),
          graph("Limits reached on the admin port", "ops", [
            query(`${sumRate("limit", "piko_admin_limited_total", SELECT)} > 0`, "{{limit}}"),
          ]),
          graph("Buffered bytes", "bytes", [
            now("piko_proxy_buffered_bytes"),
            now("piko_proxy_max_buffered_bytes", "{{instance}} limit"),
          ]),
          graph("Client connections", "short", [
            now("piko_proxy_connections"),
            now("piko_proxy_busiest_client_connections", "{{instance}} busiest client"),
          ]),
          graph("Connections from the busiest agent address", "short", [
            now("piko_upstreams_busiest_client_connections"),
          ]),
        ],
      ],
      [
        "Tokens and certificates",
        [
          graph("Refused", "reqps", [
            query(sumRate("port, reason", "piko_auth_refused_total", SELECT), "{{port}} {{reason}}"),
          ]),
          graph("Tokens verified", "ops", [
            query(
              sumRate("instance, port", "piko_auth_verifications_total", SELECT),
              "{{instance}} {{port}}",
            ),
          ]),
          graph("Tokens", "short", [
            now("piko_auth_remembered_tokens", "{{instance}} {{port}} remembered"),
            now("piko_auth_pending", "{{instance}} {{port}} waiting"),
          ]),
          graph("Age of key sets", "s", [now("piko_auth_jwks_age_seconds", "{{instance}} {{section}}")]),
          graph("TLS handshakes", "ops", [
            grows("piko_tls_handshakes_total", "{{instance}} {{port}}"),
            query(
              sumRate("instance, port, reason", "piko_tls_refused_total", SELECT),
              "{{instance}} {{port}} {{reason}}",
            ),
          ]),
          graph(
            "Connections without TLS",
            "ops",
            [grows("piko_tls_plain_total", "{{instance}} {{port}}")],
            "Connections to ports where TLS is optional.",
          ),
          graph("Time until certificates expire", "s", [
            query(
              `piko_tls_certificate_not_after_seconds{${SELECT}} - time()`,
              "{{instance}} {{port}} {{path}}",
            ),
          ]),
        ],
      ],
      ["Process", processPanels(SELECT)],
    ],
  });
