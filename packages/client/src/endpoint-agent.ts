// An agent for node:http and whatever is built on it, whose connections lead to an endpoint.

import { Agent, type AgentOptions } from "node:http";
import type { Duplex } from "node:stream";
import { dial } from "./dial.js";
import type { DialOptions } from "./options.js";

/** Options of {@link EndpointAgent}: those of `dial` and those of `http.Agent`. */
export interface EndpointAgentOptions extends DialOptions, Omit<AgentOptions, "signal"> {}

/**
 * An `http.Agent` that sends every request to one endpoint. The host of the request is only used as the `Host` field that the
 * service sees. `keepAlive` reuses connections; leave it off (the default) if `piko agent http` listens on the endpoint,
 * because it answers one request per connection.
 */
export class EndpointAgent extends Agent {
  readonly endpointId: string;
  readonly #dialOptions: DialOptions;

  constructor(endpointId: string, options: EndpointAgentOptions = {}) {
    super(options as AgentOptions);
    this.endpointId = endpointId;
    this.#dialOptions = options;
  }

  /** @internal For `http.Agent`, which calls it when a request needs a new connection. */
  override createConnection(
    _options: unknown,
    callback: (error: Error | null, socket?: Duplex) => void,
  ): undefined {
    dial(this.endpointId, this.#dialOptions).then(
      (socket) => callback(null, socket),
      (error: Error) => callback(error),
    );
  }
}
