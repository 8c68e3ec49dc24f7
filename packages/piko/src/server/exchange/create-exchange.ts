// Assembles the parts of one client connection on a node: its exchange with its life cycle and dispatch.

import { Exchange } from "../../http/exchange/exchange.js";
import { RequestRecord } from "../../observability/request-record.js";
import { Lifecycle } from "./lifecycle.js";
import type { NodeClient } from "./node-client.js";
import { NodeDispatch } from "./node-dispatch.js";
import type { ProxyContext } from "./proxy-context.js";

/** Creates the exchange of a client's connection, which carries one request after another. */
export function createExchange(client: NodeClient, context: ProxyContext): Exchange {
  return new Exchange(client, new RequestRecord(context), context, (exchange) => {
    const dispatch = new NodeDispatch(exchange, client, context);
    return { dispatch, lifecycle: new Lifecycle(exchange, client, dispatch, context) };
  });
}
