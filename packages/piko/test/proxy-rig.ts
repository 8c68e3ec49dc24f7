// A proxy port on loopback with an agent's tunnel in memory. After each test it is closed, and it is checked that nothing is left.

import { afterEach, expect } from "vitest";
import { AddressRanges } from "../src/base/address-ranges.js";
import { loadConfig } from "../src/config/load-config.js";
import type { ServerTlsConfig } from "../src/config/server-tls.js";
import { type ProxyConfig, SERVER } from "../src/config/server.js";
import { Certificates } from "../src/net/accept/certificates.js";
import { ProxyPort } from "../src/server/clients/proxy-port.js";
import type { ProxyDependencies } from "../src/server/exchange/proxy-context.js";
import { NodeRig, type NodeRigOptions } from "./node-rig.js";
import { GET } from "./node-rigs.js";
import { eventually, PortPeer, type SecureOptions } from "./port-peer.js";
import { RecordedLog } from "./recorded-log.js";

/** The agent's response in `exchange`. */
export const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

export interface ProxyRigOptions extends NodeRigOptions {
  readonly trustedProxies?: readonly string[];
  readonly proxyProtocol?: ProxyConfig["proxyProtocol"];
  /** Proxy addresses of other nodes. */
  readonly nodes?: readonly string[];
  /** Turns on TLS. */
  readonly tls?: Partial<ServerTlsConfig>;
  /** Whether clients may speak HTTP/2; true by default. */
  readonly http2?: boolean;
}

export class ProxyRig {
  readonly node: NodeRig;
  readonly port: ProxyPort;
  readonly log = new RecordedLog();
  readonly #peers: PortPeer[] = [];
  readonly #tls: Partial<ServerTlsConfig> | undefined;
  #number = 0;

  constructor(options: ProxyRigOptions) {
    const {
      trustedProxies = [],
      proxyProtocol = "off",
      nodes,
      dependencies,
      http2 = true,
      ...rest
    } = options;
    const { proxy } = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given: [] });
    const tls = { ...proxy.tls, ...options.tls };
    const settings = {
      trustedProxies: new AddressRanges(trustedProxies),
      proxyProtocol,
      http2: { ...proxy.http2, enabled: http2 },
      tls,
    };
    const table = { nodes: () => nodes?.map((proxyAddr) => ({ proxyAddr })) };
    const cluster = nodes === undefined ? {} : { cluster: { table } };
    const { logger } = this.log;
    this.node = new NodeRig({
      ...rest,
      settings,
      dependencies: { ...cluster, logger, ...dependencies } as Partial<ProxyDependencies>,
    });
    // Its in-memory connection isn't used here.
    this.node.close();
    this.#tls = options.tls;
    const { clock } = this.node;
    const certificates =
      options.tls === undefined
        ? undefined
        : new Certificates({ port: "proxy", config: tls, logger, clock, wallNow: () => Date.now() });
    this.port = new ProxyPort(this.node.context, certificates);
  }

  async listen(): Promise<this> {
    this.#number = (await this.port.listen({ host: "127.0.0.1", port: 0 })).port;
    return this;
  }

  /** The port's number on loopback. */
  get number(): number {
    return this.#number;
  }

  async connect(localAddress?: string): Promise<PortPeer> {
    const peer = await PortPeer.connect(this.#number, localAddress);
    this.#peers.push(peer);
    return peer;
  }

  /** Opens a connection; resolves when the port has accepted it. */
  async client(localAddress?: string): Promise<PortPeer> {
    const { connectionCount } = this.port;
    const peer = await this.connect(localAddress);
    await eventually(() => this.port.connectionCount > connectionCount);
    return peer;
  }

  /** Opens a connection with TLS; resolves after the handshake. */
  async secure(options: SecureOptions): Promise<PortPeer> {
    const peer = await PortPeer.secure(this.#number, options);
    this.#peers.push(peer);
    return peer;
  }

  /** Sends a request over a connection and answers it; resolves with what the agent received. */
  async exchange(peer: PortPeer, request = GET): Promise<string> {
    const { asked } = this.node;
    peer.send(request);
    await eventually(() => this.node.asked > asked);
    const { stream } = this.node;
    stream.deliver(OK);
    await peer.until(({ text }) => text.endsWith("ok"));
    return stream.written;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers.splice(0)) await peer[Symbol.asyncDispose]();
    // The sweep stops with the last connection of any kind; certificate files are checked until the port closes.
    const timers = this.#tls === undefined ? 0 : 1;
    await eventually(() => this.port.connectionCount === 0 && this.node.clock.pending <= timers);
    this.port.destroy();
    this.node.clock.assertIdle();
    expect(this.port.highestClientCount).toBe(0);
    expect(this.node.budget.used).toBe(0);
  }
}

/** Returns a function that creates a rig. */
export function proxyRigs(): (options?: ProxyRigOptions) => Promise<ProxyRig> {
  const rigs: ProxyRig[] = [];
  afterEach(async () => {
    for (const rig of rigs.splice(0)) await rig[Symbol.asyncDispose]();
  });
  return async (options = {}) => {
    const rig = new ProxyRig(options);
    rigs.push(rig);
    return await rig.listen();
  };
}
