// Which addresses count as one client: an IPv4 address alone, and an IPv6 address with its /64 network, because every subscriber
// gets at least that.

/** The client's network as a key: `192.0.2.1`, `2001:db8:0:1::/64`. Text that isn't an address is its own key. */
export function clientNetwork(address: string): string {
  if (!address.includes(":")) return address;
  const [head = "", tail] = address.split("::");
  const groups = split(head);
  if (tail !== undefined) {
    const last = split(tail);
    // A dotted IPv4 suffix stands for two groups.
    const count = tail.includes(".") ? last.length + 1 : last.length;
    while (groups.length + count < 8) groups.push("0");
    groups.push(...last);
  }
  const network = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(":")}::/64`;
}

function split(part: string): string[] {
  return part === "" ? [] : part.split(":");
}
