// The message for a port that is already in use: names the setting that chooses another one.

/** The setting with the address of each port, by the port's name in errors. */
const SETTINGS: Readonly<Record<string, string>> = {
  proxy: "proxy.bind_addr",
  upstream: "upstream.bind_addr",
  admin: "admin.bind_addr",
  gossip: "cluster.gossip.bind_addr",
  server: "server.bind_addr",
};

/** The message for a port that is in use, with the setting that chooses another one. */
export function addressInUse(name: string): string {
  const setting = SETTINGS[name];
  if (setting === undefined) return "address already in use";
  const flag = `--${setting.replaceAll("_", "-")}`;
  return `address already in use: by another piko? ${flag} (${setting}) chooses another`;
}
