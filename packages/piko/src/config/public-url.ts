// The setting that says where clients come from outside.

import { parsePublicUrl } from "../base/public-url.js";
import type { Field } from "./declaration.js";
import { optionalText } from "./fields.js";

const DESCRIPTION =
  "Where clients reach endpoints from outside: a URL whose host begins with `{endpoint}`, such as `https://{endpoint}.piko.example.com`. Agents are told theirs, and show it. Empty: they are told the number of the proxy port.";

/** Declares `public_url`: a template as {@link parsePublicUrl} gives it; empty for none. */
export const PUBLIC_URL: Field<string> = optionalText("url", DESCRIPTION, parsePublicUrl);
