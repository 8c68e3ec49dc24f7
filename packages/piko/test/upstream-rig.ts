// A node's upstream port on loopback, with a fake clock, and agents that the test plays.

import {
  ByteSocket,
  TunnelSession,
  type TunnelSessionHandler,
  type StreamHandler,
  type YamuxStream,
  type TunnelError,
} from "@piko/tunnel";
import { FakeClock } from "@piko/testkit";
import { Authorizer } from "../src/auth/authorizer.js";
import { loadConfig } from "../src/config/load-config.js";
import type { TenantConfig } from "../src/config/auth.js";
import { hasTls, type ServerTlsConfig } from "../src/config/server-tls.js";
import { SERVER, type UpstreamLimitsConfig } from "../src/config/server.js";
import { AddressRanges } from "../src/base/address-ranges.js";
import { DateLine } from "../src/http/date-line.js";
import { Certificates } from "../src/net/accept/certificates.js";
import { OpenFiles } from "../src/net/accept/open-files.js";
import { ByteBudget } from "../src/net/byte-budget.js";
import { DeadlineSweep } from "../src/net/deadline-sweep.js";
import type { LimitCounters } from "../src/net/limit-counters.js";
import { PublicAddress } from "../src/server/upstream/public-address.js";
import { ReconnectWaits } from "../src/server/upstream/reconnect-waits.js";
import type { Tunnel } from "../src/server/upstream/tunnel.js";
import { TenantUses } from "../src/server/upstream/tenant-use.js";
import { TunnelDrains } from "../src/server/upstream/tunnel-drains.js";
import { TunnelExpiries } from "../src/server/upstream/tunnel-expiries.js";
import { type UpstreamLimit, UpstreamMetrics } from "../src/server/upstream/upstream-metrics.js";
import { Metrics } from "../src/observability/metrics.js";
import { UpstreamPort } from "../src/server/upstream/upstream-port.js";
import { Upstreams } from "../src/server/upstream/upstreams.js";
import { eventually, PortPeer } from "./port-peer.js";
import { RecordedLog } from "./recorded-log.js";

export interface UpstreamRigOptions {
  readonly limits?: Partial<UpstreamLimitsConfig>;
  readonly trustedProxies?: readonly string[];
  readonly maxBytes?: number;
  readonly files?: OpenFiles;
  readonly auth?: Authorizer;
  readonly tenants?: readonly TenantConfig[];
  /** Turns on TLS. */
  readonly tls?: Partial<ServerTlsConfig>;
}

export interface AgentOptions {
  readonly endpoint?: string;
  /** True for our agent, which has the `drain` capability; false for a Go agent. */
  readonly capable?: boolean;
  /** Additional lines of its request, each with its CRLF. */
  readonly fields?: string;
}

const CAPABILITIES = "x-piko-capabilities: drain\r\n";

/** The request for a tunnel; `fields` are additional lines, each with its CRLF. */
export function upgradeRequest(endpoint = "e", fields = ""): string {
  return (
    `GET /piko/v1/upstream/${endpoint} HTTP/1.1\r\nHost: node\r\nConnection: upgrade\r\nUpgrade: websocket\r\n` +
    `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n${fields}\r\n`
  );
}

/** An agent's end of a tunnel. It accepts every stream, and records what it receives in words. */
export class TestAgent implements TunnelSessionHandler {
  readonly socket: ByteSocket;
  readonly received: string[] = [];
  readonly session: TunnelSession;
  /** Handles the node's streams. */
  readonly streamHandler: StreamHandler = { onData() {}, onEnd() {}, onWritable() {}, onReset() {} };

  constructor(socket: ByteSocket) {
    this.socket = socket;
    this.session = new TunnelSession(socket, "client", this, new FakeClock(), { peerHalfCloses: true });
  }

  onStream(_stream: YamuxStream): StreamHandler {
    this.received.push("stream");
    return this.streamHandler;
  }

  onGoAway(): void {
    this.received.push("go away");
  }

  onNode(): void {
    this.received.push("node");
  }

  onClose(error: TunnelError | undefined): void {
    this.received.push(error === undefined ? "closed" : error.message);
  }

  /** Opens a stream, which agents may not; resolves when it is refused. */
  async refusedStream(): Promise<void> {
    await new Promise<void>((resolve) => {
      const handler = { onData() {}, onEnd() {}, onWritable() {}, onReset: resolve };
      this.session.yamux.openStream(handler)?.flushFlags();
    });
  }

  /** Resolves when it has received this. */
  async until(text: string): Promise<void> {
    await eventually(() => this.received.includes(text));
  }
}

export class UpstreamRig {
  readonly clock = new FakeClock();
  /** Offset of the time of day, which advances with the clock; a test may change it. */
  wallOffsetMs = 1_000_000;
  readonly hits: UpstreamLimit[] = [];
  readonly log = new RecordedLog();
  readonly budget: ByteBudget;
  readonly drains: TunnelDrains;
  readonly expiries: TunnelExpiries;
  /** Changes announced to other nodes, in order: `e 1`. */
  readonly announced: string[] = [];
  readonly auth: Authorizer;
  readonly publicAddress = new PublicAddress("https://{endpoint}.piko.example.com");
  readonly upstreams: Upstreams;
  /** Counts of opened and closed tunnels. */
  readonly counts: UpstreamMetrics;
  readonly port: UpstreamPort;
  readonly #peers: (AsyncDisposable | TestAgent)[] = [];
  #number = 0;

  private constructor(options: UpstreamRigOptions) {
    const { limits, trustedProxies = [], maxBytes = 10_000_000, files, tenants = [] } = options;
    const { upstream } = loadConfig(SERVER, { path: undefined, expandEnv: false, env: {}, given: [] });
    const { clock } = this;
    this.budget = new ByteBudget(maxBytes);
    this.drains = new TunnelDrains(clock, () => 0);
    this.expiries = new TunnelExpiries({
      clock,
      wallNow: () => clock.now() + this.wallOffsetMs,
      graceMs: 5_000,
    });
    this.upstreams = new Upstreams(
      new ReconnectWaits(clock, 5_000, 10),
      (endpointId, count, doubtful) =>
        void this.announced.push(`${endpointId} ${count}${doubtful ? " doubtful" : ""}`),
      () => 0,
    );
    const counters = { hit: (name: UpstreamLimit) => void this.hits.push(name) };
    const silent = counters as unknown as LimitCounters<UpstreamLimit>;
    this.counts = new UpstreamMetrics(new Metrics(), this.upstreams, silent);
    this.auth = options.auth ?? new Authorizer({ port: "upstream", maxPending: 10, wallNow: () => 0 });
    const tls = { ...upstream.tls, ...options.tls };
    const { logger } = this.log;
    this.port = new UpstreamPort({
      nodeId: "n1",
      auth: this.auth,
      publicAddress: this.publicAddress,
      upstreams: this.upstreams,
      config: { ...upstream.limits, ...limits },
      trustedProxies: new AddressRanges(trustedProxies),
      limits: silent,
      counts: this.counts,
      drains: this.drains,
      tenants: new TenantUses(tenants, clock),
      expiries: this.expiries,
      budget: this.budget,
      files: files ?? new OpenFiles(Number.POSITIVE_INFINITY),
      logger,
      clock,
      sweep: new DeadlineSweep(clock),
      dateLine: new DateLine(clock),
      certificates: hasTls(tls)
        ? new Certificates({ port: "upstream", config: tls, logger, clock, wallNow: () => Date.now() })
        : undefined,
      tls,
    });
  }

  /** The port's number on loopback. */
  get number(): number {
    return this.#number;
  }

  static async start(options: UpstreamRigOptions = {}): Promise<UpstreamRig> {
    const rig = new UpstreamRig(options);
    rig.#number = (await rig.port.listen({ host: "127.0.0.1", port: 0 })).port;
    return rig;
  }

  /** Opens a connection that isn't a tunnel yet. */
  async connect(localAddress?: string): Promise<PortPeer> {
    const peer = await PortPeer.connect(this.#number, localAddress);
    this.#peers.push(peer);
    return peer;
  }

  /** Sends a request that is refused; resolves with the response when the connection has ended. */
  async refusal(request: string): Promise<string> {
    return await (await this.connect()).send(request).over();
  }

  /** A tunnel for which the test sends raw bytes; resolves after the 101. */
  async rawAgent(request = upgradeRequest()): Promise<PortPeer> {
    const peer = await this.connect();
    await peer.send(request).until(({ text }) => text.includes("\r\n\r\n"));
    return peer;
  }

  /** Opens a tunnel. */
  async agent({ capable = true, endpoint = "e", fields = "" }: AgentOptions = {}): Promise<TestAgent> {
    const agent = await new Promise<TestAgent>((resolve, reject) => {
      let answer = "";
      const socket = ByteSocket.connect(
        { host: "127.0.0.1", port: this.#number },
        {
          onBytes: (buffer, start, end) => {
            answer += buffer.toString("latin1", start, end);
            const headEnd = answer.indexOf("\r\n\r\n") + 4;
            if (headEnd < 4) return;
            if (!answer.startsWith("HTTP/1.1 101 ")) throw new Error(answer);
            const agent = new TestAgent(socket);
            agent.session.receive(buffer, end - (answer.length - headEnd), end);
            resolve(agent);
          },
          onEnd() {},
          onDrain() {},
          onClose: () => reject(new Error(`closed: ${answer}`)),
        },
      );
      socket.out.writeLatin1(upgradeRequest(endpoint, (capable ? CAPABILITIES : "") + fields));
    });
    this.#peers.push(agent);
    return agent;
  }

  /** The tunnels, in the order in which they were opened. */
  get tunnels(): Tunnel[] {
    return [...this.upstreams.tunnels()];
  }

  /** The only tunnel. */
  get tunnel(): Tunnel {
    const [tunnel, ...more] = this.tunnels;
    if (tunnel === undefined || more.length > 0) throw new Error(`${this.tunnels.length} tunnels`);
    return tunnel;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers.splice(0)) {
      if (peer instanceof TestAgent) peer.session.destroy();
      else await peer[Symbol.asyncDispose]();
    }
    // Includes expired tunnels, which only count for their client.
    await eventually(() => this.upstreams.tunnelCount + this.port.highestClientCount === 0);
    await eventually(() => this.port.pendingCount === 0);
    this.port.destroy();
  }
}
