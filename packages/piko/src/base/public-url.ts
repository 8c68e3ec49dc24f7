// The URL for clients outside: the endpoint is the first label of its host, which is how the proxy port routes.

import { hostLabelProblem } from "./host-label.js";
import { parseUrl } from "./service-address.js";

const PLACEHOLDER = "{endpoint}";
const EXAMPLE = "https://{endpoint}.piko.example.com";

/**
 * Checks a template such as `https://{endpoint}.piko.example.com`, and returns it without a trailing slash.
 *
 * @throws RangeError
 */
export function parsePublicUrl(text: string): string {
  const [scheme = "", rest = ""] = text.split("://", 2);
  const expected = `must be a URL whose host begins with ${PLACEHOLDER}, such as ${EXAMPLE}`;
  if (!/^\{endpoint\}\.[^{}.]/.test(rest) || text.split(PLACEHOLDER).length > 2)
    throw new RangeError(expected);
  const url = parseUrl(`${scheme}://${rest.replace(PLACEHOLDER, "e")}`, ["https", "http"]);
  if (
    url.username !== "" ||
    url.password !== "" ||
    url.search !== "" ||
    url.hash !== "" ||
    url.pathname !== "/"
  ) {
    throw new RangeError(`${expected}, without a path, a query or a user name`);
  }
  return `${url.protocol}//${PLACEHOLDER}${url.host.slice(1)}`;
}

/** The URL of an endpoint; undefined if its id can't be part of a host. */
export function publicUrlOf(template: string, endpointId: string): string | undefined {
  return hostLabelProblem(endpointId) === undefined ? template.replace(PLACEHOLDER, endpointId) : undefined;
}
