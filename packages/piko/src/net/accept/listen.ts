// Binds a server to an address. Errors name the port of the program that failed.

import type { ListenOptions, Server } from "node:net";
import { addressInUse } from "../../base/address-in-use.js";
import { formatHostPort, type HostPort } from "../../base/address.js";

/**
 * Binds; resolves to the bound address. An empty host means all interfaces, IPv6 and IPv4. `name` is for the error, such as
 * `proxy listen: 127.0.0.1:8000: address already in use`.
 */
export async function listen(
  server: Server,
  name: string,
  address: HostPort,
  options: ListenOptions = {},
): Promise<HostPort> {
  await new Promise<void>((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      const taken = error.code === "EADDRINUSE";
      const reason = taken ? addressInUse(name) : error.message;
      reject(
        new Error(`${name} listen: ${formatHostPort(address)}: ${reason}`, taken ? {} : { cause: error }),
      );
    };
    server.once("error", fail);
    const host = address.host === "" ? {} : { host: address.host };
    server.listen({ ...options, port: address.port, ...host }, () => {
      server.off("error", fail);
      // accept(2) can fail because of an error on the network or a lack of memory. The client then loses its connection. Without
      // a listener, the event would end the program.
      server.on("error", () => {});
      resolve();
    });
  });
  const bound = server.address();
  if (bound === null || typeof bound === "string") throw new Error(`${name} listen: no address`);
  return { host: bound.address, port: bound.port };
}
