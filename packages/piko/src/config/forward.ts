// The configuration of `piko forward`: local TCP ports that are forwarded to endpoints.

import { type HostPort, parseTcpAddress } from "../base/address.js";
import { ENDPOINT_ID } from "./agent.js";
import { type ClientTlsConfig, clientTls } from "./client-tls.js";
import { type Section, list, mapSection, section } from "./declaration.js";
import { duration, requiredAddress, url } from "./fields.js";
import { countLimit } from "./limit-fields.js";
import { LOG, type LogConfig } from "./log.js";
import { checkToken, type ClientTokenConfig, tokenFields } from "./client-token.js";

/** How the forwarder reaches the server. */
export interface ForwardConnectConfig extends ClientTokenConfig {
  /** Base URL of the proxy port, `http` or `https`, without a trailing slash. */
  readonly url: string;
  readonly timeoutMs: number;
  readonly tls: ClientTlsConfig;
}

/** A local port, and the endpoint that its connections go to. */
export interface ForwardPortConfig {
  readonly addr: HostPort;
  readonly endpointId: string;
}

/** Limits on what local clients use. */
export interface ForwardLimitsConfig {
  readonly maxConnections: number;
}

/** The whole configuration of a forwarder. */
export interface ForwardConfig {
  readonly connect: ForwardConnectConfig;
  readonly limits: ForwardLimitsConfig;
  readonly log: LogConfig;
  readonly ports: readonly ForwardPortConfig[];
}

type PortSettings = Omit<ForwardPortConfig, "addr"> & { readonly addr: string };

const PORT_SETTINGS: Section<PortSettings> = section(
  "A local port, and the endpoint that its connections go to.",
  {
    addr: requiredAddress(
      "Address to listen on: a port, which means localhost, or `host:port`.",
      parseTcpAddress,
    ),
    endpointId: ENDPOINT_ID,
  },
);

/** Declares one of `ports[]`. */
const FORWARD_PORT: Section<ForwardPortConfig> = mapSection(PORT_SETTINGS, (port) => ({
  ...port,
  addr: port.addr.startsWith(":")
    ? { host: "", port: parseTcpAddress(port.addr).port }
    : parseTcpAddress(port.addr),
}));

/** Declares the forwarder's configuration. */
export const FORWARD: Section<ForwardConfig> = section("Configuration of `piko forward`.", {
  connect: section<ForwardConnectConfig>(
    "The connection to the server.",
    {
      url: url(
        "http://localhost:8000",
        ["http", "https", "ws", "wss"],
        "Base URL of the server's proxy port.",
      ),
      ...tokenFields("Token that the forwarder authenticates with."),
      timeoutMs: duration(
        "30s",
        "Time to connect to the endpoint; after that, the local connection is closed.",
        {
          min: "1ns",
        },
      ),
      tls: clientTls("the server"),
    },
    checkToken,
  ),
  limits: section("Limits on local clients.", {
    maxConnections: countLimit(
      16_384,
      "Maximum concurrent connections over all ports. Each uses two file descriptors. Further ones are reset. 0 is no limit.",
    ),
  }),
  log: LOG,
  ports: list("Ports to listen on. `forward tcp` takes its port from the command line.", FORWARD_PORT),
});
