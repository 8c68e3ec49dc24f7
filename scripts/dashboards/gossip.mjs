// What the nodes of a cluster know about each other, and what that costs.

import { rate, sumRate } from "./common.mjs";
import { dashboard, graph, query, variable } from "./panels.mjs";

const SELECT = 'job=~"$job"';
const grows = (metric, legend = "{{instance}}") => query(rate(metric, SELECT), legend);

/** Both directions of a counter. */
const bothWays = (metric) => [
  grows(`${metric}_inbound_total`, "{{instance}} in"),
  grows(`${metric}_outbound_total`, "{{instance}} out"),
];

export const gossip = () =>
  dashboard({
    uid: "piko-gossip",
    title: "Piko / Gossip",
    description: "Members of clusters as each node sees them, what gossip costs, and what it refuses.",
    variables: [variable("job", "Cluster", "label_values(piko_cluster_nodes, job)")],
    rows: [
      [
        "Members",
        [
          graph(
            "Active nodes, as each node sees them",
            "short",
            [query(`piko_cluster_nodes{${SELECT},status="active"}`, "{{instance}}")],
            "All lines are the same unless the cluster is split.",
          ),
          graph(
            "Nodes by status",
            "short",
            [query(`max by (job, status) (piko_cluster_nodes{${SELECT}})`, "{{job}} {{status}}")],
            "Nodes that left or can't be reached are shown for a minute.",
          ),
          graph(
            "Keys known for each node",
            "short",
            [
              query(
                `sum by (instance, node_id) (piko_gossip_entries{${SELECT}})`,
                "{{instance}} of {{node_id}}",
              ),
            ],
            "The same on all nodes, shortly after the last change.",
          ),
          graph("Memory for what other nodes announce", "bytes", [
            query(`piko_gossip_state_bytes{${SELECT}}`, "{{instance}}"),
          ]),
        ],
      ],
      [
        "Traffic",
        [
          graph("UDP", "Bps", bothWays("piko_gossip_packet_bytes")),
          graph("TCP", "Bps", bothWays("piko_gossip_stream_bytes")),
          graph("TCP connections", "cps", bothWays("piko_gossip_connections")),
          graph("Digest entries", "ops", bothWays("piko_gossip_digest_entries")),
          graph("Delta entries", "ops", bothWays("piko_gossip_delta_entries")),
        ],
      ],
      [
        "Refused",
        [
          graph(
            "Refused",
            "ops",
            [
              grows("piko_gossip_packets_refused_total", "{{instance}} packets"),
              grows("piko_gossip_requests_refused_total", "{{instance}} requests over TCP"),
            ],
            "Messages that aren't valid gossip or don't come from a node.",
          ),
          graph(
            "Dropped unread, by reason",
            "ops",
            [
              query(
                sumRate("instance, reason", "piko_gossip_dropped_total", SELECT),
                "{{instance}} {{reason}}",
              ),
            ],
            "Messages that aren't encrypted, use an unknown key, or come from another cluster or a disallowed address.",
          ),
          graph("Refused by a limit", "ops", [
            query(sumRate("instance, limit", "piko_gossip_limited_total", SELECT), "{{instance}} {{limit}}"),
          ]),
        ],
      ],
    ],
  });
