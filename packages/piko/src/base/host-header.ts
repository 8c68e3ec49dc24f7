// The Host that a service receives, if it must differ from the one that the client sent: development servers reject names that
// they don't know.

import { formatHostPort } from "./address.js";
import type { ServiceAddress } from "./service-address.js";

/** The value that stands for the service's own address. */
export const REWRITE_HOST = "rewrite";

// RFC 9110 section 7.2: uri-host [ ":" port ].
const HOST = /^(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]+)(?::\d{1,5})?$/;

/** Whether a text can be the value of a Host field. */
export function isHostHeader(text: string): boolean {
  return HOST.test(text);
}

/** The value of the Host field for a setting; undefined leaves the field as it is. */
export function hostHeaderOf(setting: string, service: ServiceAddress): string | undefined {
  if (setting === "") return undefined;
  if (setting !== REWRITE_HOST) return setting;
  const { host, port, scheme } = service;
  // RFC 9110 section 4.2.3: the scheme's default port is left out.
  const own = scheme === "https" ? 443 : 80;
  return port === own ? formatHostPort(service).slice(0, -`:${port}`.length) : formatHostPort({ host, port });
}
