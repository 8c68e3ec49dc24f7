// Connections to HTTP/2 services, as sockets for Node's HTTP/2 session.

import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { systemClock } from "@piko/tunnel";
import { SERVICE_KEEP_ALIVE_MS, type ServiceAddress } from "./service-address.js";

/** Opens a connection. It is destroyed with an error if it isn't open in time, or if the service negotiates another protocol (ALPN). */
export function openHttp2(service: ServiceAddress, timeoutMs: number): Socket {
  const { host, port, tls } = service;
  const target = port === 0 ? { path: host } : { host, port };
  const timer = systemClock.setTimeout(() => {
    socket.destroy(new Error(`no connection in ${timeoutMs} ms`));
  }, timeoutMs);
  const done = (): void => systemClock.clearTimeout(timer);
  const socket = tls === undefined ? connectTcp(target, done) : secure();
  return socket.setNoDelay(true).setKeepAlive(true, SERVICE_KEEP_ALIVE_MS).once("close", done);

  function secure(): Socket {
    const made = connectTls({ ...tls, ...target, ALPNProtocols: ["h2"] }, () => {
      done();
      if (made.alpnProtocol !== "h2") made.destroy(new Error("service has not chosen HTTP/2 (ALPN)"));
    });
    return made;
  }
}
