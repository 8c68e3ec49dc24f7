// The settings of `piko server status`. People and scripts use it, so it has only flags, and no file.

import { type ClientTlsConfig, clientTls } from "./client-tls.js";
import { type Section, section } from "./declaration.js";
import { checkToken, type ClientTokenConfig, tokenFields } from "./client-token.js";
import { bool, choice, duration, text, url } from "./fields.js";

/** Output format; `auto` is `table` on a terminal, otherwise `yaml`. */
export type StatusOutput = "auto" | "table" | "yaml" | "json";

/** The admin port to ask. */
export interface StatusServerConfig extends ClientTokenConfig {
  /** Base URL of a node's admin port, without a trailing slash. */
  readonly url: string;
  readonly tls: ClientTlsConfig;
}

/** What to request, and how to print the response. */
export interface StatusConfig {
  readonly server: StatusServerConfig;
  /** Id of the node to which the request is forwarded; empty for the node that is asked. */
  readonly forward: string;
  readonly output: StatusOutput;
  readonly watch: boolean;
  readonly intervalMs: number;
}

/** Declares the settings of `piko server status`. */
export const STATUS: Section<StatusConfig> = section("Settings of `piko server status`.", {
  server: section<StatusServerConfig>(
    "The admin port to ask.",
    {
      url: url("http://localhost:8002", ["http", "https"], "Base URL of a node's admin port."),
      ...tokenFields("Token to authenticate with."),
      tls: clientTls("the admin port"),
    },
    checkToken,
  ),
  forward: text("Id of another node. The request is forwarded to it."),
  output: choice(
    ["auto", "table", "yaml", "json"],
    "auto",
    "Output format: a table for people, YAML or JSON for programs. `auto` is `table` on a terminal, otherwise `yaml`.",
  ),
  watch: bool(
    "Repeats the request until Ctrl-C. If the output isn't a terminal, only changes are printed; into a pipe, spaces are written in between to detect that the reader has gone.",
  ),
  intervalMs: duration("1s", "Time between two requests of --watch.", { min: "100ms" }),
});
