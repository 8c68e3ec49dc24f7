// One agent with the usual two tunnels, which it opens through a load balancer: to the first two of the three nodes.

import { startBalancer } from "./balancer.mjs";
import { Stand, until } from "./stand.mjs";

/** How many nodes the agent has tunnels to. */
const HOMES = 2;

/**
 * @param {import("./stand.mjs").Places} places
 * @returns {Promise<Stand>}
 */
export async function startHome(places) {
  const stand = await Stand.startNodes(places);
  const homes = stand.nodes.slice(0, HOMES);
  let isHome = false;
  const balancer = startBalancer(stand, (node) => isHome || homes.includes(node));
  stand.balancer = balancer;
  try {
    await stand.startAgent(0, await balancer.upstream);
    const connected = () => stand.agents[0]?.records.filter(({ msg }) => msg === "connected") ?? [];
    await until(() => connected().length === HOMES, "tunnels to two nodes");
    await stand.untilServing();
  } catch (error) {
    await stand.stop();
    throw error;
  }
  // From here on, the third node can replace either of them.
  isHome = true;
  return stand;
}
