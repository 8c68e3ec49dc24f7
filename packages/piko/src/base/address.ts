// Network addresses in the form used in flags and YAML: where a port listens (`:8000`, `127.0.0.1:0`, `[::1]:80`) and where a TCP
// peer is (`3000`, `db:5432`).

/** A host and a port; an empty host means all interfaces. IPv6 hosts are without brackets. */
export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Prints an address in the form that can be parsed: IPv6 hosts in brackets, all interfaces as `:port`. */
export function formatHostPort(address: HostPort): string {
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/**
 * Parses the address that a port listens on or is reached at. The host may be empty; port 0 lets the system choose.
 *
 * @throws RangeError that quotes the text.
 */
export function parseHostPort(text: string): HostPort {
  const bracketed = /^\[([^[\]]*)\](?::(.*))?$/s.exec(text);
  const plain = /^([^:[\]]*)(?::([^:]*))?$/s.exec(text);
  const parts = bracketed ?? plain;
  if (parts === null) {
    const reason = text.includes("[") || text.includes("]") ? "misplaced brackets" : "too many colons";
    throw invalid(text, `${reason} (write IPv6 addresses as [::1]:8000)`);
  }
  const [, host = "", port] = parts;
  if (port === undefined) throw invalid(text, "missing port (such as :8000 or 127.0.0.1:8000)");
  if (bracketed !== null ? !/^[0-9A-Fa-f:.]+(%[\w.-]+)?$/.test(host) : !/^[\w.-]*$/.test(host)) {
    throw invalid(text, `invalid host ${JSON.stringify(host)}`);
  }
  return { host, port: parsePort(port, text) };
}

/**
 * Parses the address of a TCP service or local port: a bare port means localhost.
 *
 * @throws RangeError that quotes the text.
 */
export function parseTcpAddress(text: string): HostPort {
  const address = /^\d+$/.test(text)
    ? { host: "localhost", port: parsePort(text, text) }
    : parseHostPort(text);
  return address.host === "" ? { host: "localhost", port: address.port } : address;
}

function parsePort(text: string, whole: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535))
    throw invalid(whole, `port ${JSON.stringify(text)} must be a number from 0 to 65535`);
  return port;
}

function invalid(text: string, reason: string): RangeError {
  return new RangeError(`invalid address ${JSON.stringify(text)}: ${reason}`);
}
