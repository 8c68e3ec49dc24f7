// The dashboards of deploy/grafana by path.

import { agents } from "./agents.mjs";
import { gossip } from "./gossip.mjs";
import { node } from "./node.mjs";
import { overview } from "./overview.mjs";

/** `reasons` is the table of reasons for failed requests. */
export function dashboardFiles(reasons) {
  const ofClients = reasons.filter(({ side }) => side === "client").map(({ code }) => code);
  return Object.fromEntries(
    [overview(ofClients), node(), gossip(), agents()].map((each) => [
      `deploy/grafana/dashboards/${each.uid}.json`,
      `${JSON.stringify(each, null, 2)}\n`,
    ]),
  );
}
