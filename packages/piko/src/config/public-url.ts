// The setting for the URL that clients outside use.

import { parsePublicUrl } from "../base/public-url.js";
import type { Field } from "./declaration.js";
import { optionalText } from "./fields.js";

const DESCRIPTION =
  "URL at which clients reach endpoints from outside. Its host begins with `{endpoint}`: `https://{endpoint}.piko.example.com`. Agents receive the URL of their endpoint and show it. Empty: they receive the number of the proxy port.";

/** Declares `public_url`: a template as returned by {@link parsePublicUrl}; empty if there is none. */
export const PUBLIC_URL: Field<string> = optionalText("url", DESCRIPTION, parsePublicUrl);
