// Where clients reach an endpoint, as the server announces it to listeners in the 101. The text comes from the network and is
// shown to people, so control characters, which could move a cursor, are rejected.

/** What the server announced; Go servers announce nothing. */
export interface AnnouncedAddress {
  /** The endpoint's URL, without a trailing slash. */
  readonly url: string | undefined;
  /** The server's proxy port; clients use it directly unless there is a proxy in front of it. */
  readonly proxyPort: number | undefined;
  /** How many other agents of the same tenant listen on the endpoint at this node. */
  readonly otherAgents: number;
  /** Whether that port uses TLS. */
  readonly proxyTls: boolean;
}

const MAX_URL_LENGTH = 2_048;
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Reads `x-piko-url`, `x-piko-proxy-port` and `x-piko-other-agents`; leaves out invalid values. */
export function readAnnouncedAddress(headers: ReadonlyMap<string, string>): AnnouncedAddress {
  const port = /^(\d{1,5})(;tls)?$/.exec(headers.get("x-piko-proxy-port") ?? "");
  const proxyPort = Number(port?.[1] ?? 0);
  return {
    url: readUrl(headers.get("x-piko-url")?.replace(HIDDEN, "") ?? ""),
    proxyPort: proxyPort > 0 && proxyPort <= 65_535 ? proxyPort : undefined,
    otherAgents: Number(/^\d{1,6}$/.exec(headers.get("x-piko-other-agents") ?? "")?.[0] ?? 0),
    proxyTls: port?.[2] !== undefined,
  };
}

function readUrl(text: string): string | undefined {
  if (text.length > MAX_URL_LENGTH || !URL.canParse(text)) return undefined;
  const { href, password, protocol, username } = new URL(text);
  const web = protocol === "http:" || protocol === "https:";
  return web && username === "" && password === "" ? href.replace(/\/$/, "") : undefined;
}
