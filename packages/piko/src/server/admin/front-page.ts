// `/` of the admin port: the list of its pages.

import { type Route, send } from "../../net/route-server.js";

const PAGES: readonly (readonly [path: string, what: string])[] = [
  ["/health", "200 while the process runs"],
  ["/ready", "200 while the node should get requests, else 503"],
  ["/metrics", "for Prometheus"],
  ["/status/upstream/endpoints", "endpoints that are listened on here"],
  ["/status/upstream/doubtful", "tunnels whose agents are silent"],
  ["/status/cluster/nodes", "the nodes of the cluster"],
  ["/status/cluster/nodes/ID", "one of them; local is this one"],
  ["/status/gossip/nodes", "what gossip knows of them"],
  ["/status/gossip/nodes/ID", "all keys of one of them"],
];

/** Creates the route of `/`. */
export function frontPage(nodeId: string): Route {
  const width = Math.max(...PAGES.map(([path]) => path.length));
  const lines = PAGES.map(([path, what]) => `  ${path.padEnd(width)}  ${what}`);
  const text = [
    `The admin port of node ${nodeId}. Its pages:`,
    "",
    ...lines,
    "",
    "With ?forward=ID the node of that id answers. 'piko server status' shows them in tables.",
    "",
  ].join("\n");
  return (response) => send(response, 200, { "Content-Type": "text/plain; charset=utf-8" }, text);
}
