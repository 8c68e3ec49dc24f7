import { FakeClock } from "@piko/testkit";
import { describe, expect, it } from "vitest";
import { connectLoopback, SocketRecorder, send } from "../tests/loopback.js";
import { Recorder } from "../tests/session-bench.js";
import { encode } from "../tests/yamux-frames.js";
import type { TunnelError } from "./errors.js";
import type { ByteSocket } from "./socket/byte-socket.js";
import { TunnelSession, type TunnelSessionHandler } from "./tunnel-session.js";
import type { StreamHandler, YamuxStream } from "./yamux/stream.js";

class Owner implements TunnelSessionHandler {
  readonly calls: string[] = [];
  readonly streams: Recorder[] = [];
  error: TunnelError | undefined;
  onStreamDo: ((stream: YamuxStream, recorder: Recorder) => StreamHandler | undefined) | undefined;
  readonly closed: Promise<void>;
  #resolve: (() => void) | undefined;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  onStream(stream: YamuxStream): StreamHandler | undefined {
    const recorder = new Recorder();
    recorder.stream = stream;
    this.streams.push(recorder);
    return this.onStreamDo === undefined ? recorder : this.onStreamDo(stream, recorder);
  }

  onGoAway(): void {
    this.calls.push("goaway");
  }

  onEnded(): void {
    this.calls.push("ended");
  }

  onClose(error: TunnelError | undefined): void {
    this.calls.push("close");
    this.error = error;
    this.#resolve?.();
  }
}

/** A server and an agent, connected over loopback. */
async function tunnel(): Promise<{
  server: TunnelSession;
  serverOwner: Owner;
  agent: TunnelSession;
  agentOwner: Owner;
  clock: FakeClock;
}> {
  const { near, far } = await connectLoopback();
  const clock = new FakeClock();
  const [serverOwner, agentOwner] = [new Owner(), new Owner()];
  const server = new TunnelSession(far, "server", serverOwner, clock);
  const agent = new TunnelSession(near, "client", agentOwner, clock);
  return { server, serverOwner, agent, agentOwner, clock };
}

/** A server whose agent is the test, which sees the raw bytes. */
async function rawAgent(): Promise<{
  server: TunnelSession;
  socket: ByteSocket;
  owner: Owner;
  clock: FakeClock;
  peer: SocketRecorder;
  peerSends(payload: Buffer): void;
  endPeer(): Promise<void>;
}> {
  const { near, nearCalls, far } = await connectLoopback();
  const owner = new Owner();
  const clock = new FakeClock();
  return {
    server: new TunnelSession(far, "server", owner, clock),
    socket: far,
    owner,
    clock,
    peer: nearCalls,
    peerSends: (payload) =>
      send(near, `\x82${String.fromCharCode(0x80 | payload.length)}\0\0\0\0${payload.toString("latin1")}`),
    endPeer: () => {
      near.close();
      return nearCalls.closed();
    },
  };
}

describe("a tunnel", () => {
  it("counts the frames of both layers, so that floods of small ones get shorter turns", async () => {
    const { server, socket, owner, endPeer } = await rawAgent();
    const update = encode("window", "", 6, 1);
    const frames = Buffer.concat([Buffer.from("82a400000000", "hex"), update, update, update]);
    for (let i = 1; i <= 3; i++) {
      server.receive(Buffer.from(frames), 0, frames.length);
      expect(socket.messages).toBe(i * 4);
    }
    await endPeer();
    await owner.closed;
  });

  it("carries 200 streams at once, each with its own bytes in both directions", async () => {
    const { server, serverOwner, agent, agentOwner, clock } = await tunnel();
    // The agent echoes, with backpressure from its own writes to its reads.
    agentOwner.onStreamDo = (stream, recorder) => {
      const held: Buffer[] = [];
      const go = (): void => {
        for (let piece = held[0]; piece !== undefined; piece = held[0]) {
          const count = stream.write(piece, 0, piece.length);
          stream.consume(count);
          if (count < piece.length) {
            held[0] = piece.subarray(count);
            return;
          }
          held.shift();
        }
        if (stream.remoteEnded) stream.end();
      };
      recorder.onDataDo = (bytes) => {
        held.push(bytes);
        go();
      };
      recorder.onEndDo = go;
      recorder.onWritableDo = go;
      return recorder;
    };
    const total = 400_000;
    await Promise.all(
      Array.from(
        { length: 200 },
        (_, n) =>
          new Promise<void>((resolve, reject) => {
            const recorder = new Recorder();
            const bytes = Buffer.alloc(total, n + 1);
            let sent = 0;
            let received = 0;
            const stream = server.yamux.openStream(recorder) as YamuxStream;
            const go = (): void => {
              sent += stream.write(bytes, sent, total);
              if (sent === total) stream.end();
            };
            recorder.onWritableDo = go;
            recorder.onDataDo = (piece) => {
              if (!piece.equals(bytes.subarray(received, received + piece.length)))
                reject(new Error("wrong bytes"));
              received += piece.length;
              stream.consume(piece.length);
            };
            recorder.onEndDo = () =>
              received === total ? resolve() : reject(new Error(`${received} bytes`));
            recorder.onResetDo = () => reject(new Error("reset"));
            go();
          }),
      ),
    );
    expect(server.yamux.streamCount).toBe(0);
    expect(agent.yamux.streamCount).toBe(0);
    agent.close();
    await Promise.all([serverOwner.closed, agentOwner.closed]);
    expect([serverOwner.error, agentOwner.error]).toEqual([undefined, undefined]);
    clock.assertIdle();
  }, 20_000);

  it("accepts bytes that arrived together with the handshake", async () => {
    const { near, far } = await connectLoopback();
    const owner = new Owner();
    const session = new TunnelSession(near, "client", owner, new FakeClock());
    const frames = Buffer.concat([Buffer.from([0x82, 12]), encode("window", "S", 2, 0)]);
    session.receive(Buffer.concat([Buffer.from("HTTP"), frames]), 4, 4 + frames.length);
    expect(owner.streams).toHaveLength(1);
    session.destroy();
    far.destroy();
    await owner.closed;
    expect(owner.streams[0]?.calls).toEqual(["reset"]);
  });

  it("closes gracefully: GoAway reaches the other side, open streams continue, and both sides close normally", async () => {
    const { server, serverOwner, agent, agentOwner, clock } = await tunnel();
    const recorder = new Recorder();
    const stream = server.yamux.openStream(recorder) as YamuxStream;
    const answered = new Promise<void>((resolve) => {
      recorder.onDataDo = () => resolve();
    });
    agentOwner.onStreamDo = (accepted, other) => {
      agent.goAway();
      other.onDataDo = () => accepted.write(Buffer.from("answer"), 0, 6);
      return other;
    };
    stream.write(Buffer.from("x"), 0, 1);
    await answered;
    expect(serverOwner.calls).toEqual(["goaway"]);
    expect(server.yamux.openStream(new Recorder())).toBeUndefined();
    expect(recorder.bytes.toString()).toBe("answer");
    server.close();
    await Promise.all([serverOwner.closed, agentOwner.closed]);
    expect([serverOwner.error, agentOwner.error]).toEqual([undefined, undefined]);
    expect(recorder.calls).toEqual(["data", "reset"]);
    clock.assertIdle();
  });
});

describe("evict", () => {
  it("sends GoAway(2) and FIN without a Close frame, which makes a Go agent reconnect", async () => {
    const { server, owner, clock, peer, endPeer } = await rawAgent();
    const recorder = new Recorder();
    server.yamux.openStream(recorder)?.flushFlags();
    server.evict();
    server.evict();
    server.close();
    await peer.when(() => peer.count("end") === 1);
    expect(peer.bytes.toString("hex")).toBe("8218000100010000000200000000000300000000000000000002");
    expect(recorder.calls).toEqual(["reset"]);
    await endPeer();
    await owner.closed;
    expect(owner.calls).toEqual(["ended", "close"]);
    expect(owner.error).toBeUndefined();
    clock.assertIdle();
  });

  it("reaches an agent that is in the middle of sending", async () => {
    const { server, owner, clock, peer, peerSends, endPeer } = await rawAgent();
    for (let i = 0; i < 2_000; i++) peerSends(Buffer.alloc(120).fill(encode("ping", "A", 0, i)));
    server.evict();
    for (let i = 0; i < 2_000; i++) peerSends(Buffer.alloc(120).fill(encode("ping", "A", 0, i)));
    await peer.when(() => peer.count("end") === 1);
    expect(peer.bytes.toString("hex")).toMatch(/000300000000000000000002$/);
    await endPeer();
    await owner.closed;
    clock.assertIdle();
  });
});

describe("the end of a tunnel is reported once, with its cause", () => {
  it("when the peer violates yamux: GoAway(1), Close 1002, FIN", async () => {
    const { owner, clock, peer, peerSends, endPeer } = await rawAgent();
    peerSends(Buffer.from("ff0000000000000000000000", "hex"));
    await peer.when(() => peer.count("end") === 1);
    expect(peer.bytes.toString("hex")).toMatch(/^820c0003000000000000000000018[8]..03ea/);
    await endPeer();
    await owner.closed;
    expect(owner.calls).toEqual(["ended", "close"]);
    expect(owner.error?.code).toBe("PIKO_YAMUX_VERSION");
    clock.assertIdle();
  });

  it("when the peer sends GoAway(2)", async () => {
    const { owner, clock, peer, peerSends, endPeer } = await rawAgent();
    peerSends(encode("goaway", "", 0, 2));
    await peer.when(() => peer.count("end") === 1);
    await endPeer();
    await owner.closed;
    expect(owner.error?.code).toBe("PIKO_YAMUX_GO_AWAY");
    clock.assertIdle();
  });

  it("when a ping isn't answered; a silent peer is cut off 5 s later", async () => {
    const { owner, clock, peer, endPeer } = await rawAgent();
    clock.advance(40_000);
    await peer.when(() => peer.count("end") === 1);
    clock.advance(5_000);
    await owner.closed;
    expect(owner.error?.code).toBe("PIKO_YAMUX_KEEPALIVE");
    clock.assertIdle();
    await endPeer();
  });

  it("when the connection ends as Go peers end it", async () => {
    const { server, owner, clock, endPeer } = await rawAgent();
    const recorder = new Recorder();
    server.yamux.openStream(recorder);
    await Promise.all([endPeer(), owner.closed]);
    expect(owner.error?.code).toBe("PIKO_TUNNEL_EOF");
    expect(recorder.calls).toEqual(["reset"]);
    clock.assertIdle();
  });

  it("when it is destroyed in the middle of a read", async () => {
    const { server, serverOwner, agent, agentOwner, clock } = await tunnel();
    agentOwner.onStreamDo = (_stream, recorder) => {
      recorder.onDataDo = () => agent.destroy();
      return recorder;
    };
    const [first, second] = [new Recorder(), new Recorder()];
    for (const recorder of [first, second]) {
      const stream = server.yamux.openStream(recorder);
      stream?.write(Buffer.from("data"), 0, 4);
    }
    await Promise.all([serverOwner.closed, agentOwner.closed]);
    expect(agentOwner.streams.map(({ calls }) => calls)).toEqual([["data", "reset"]]);
    expect([first.calls, second.calls]).toEqual([["reset"], ["reset"]]);
    expect(agentOwner.calls).toEqual(["ended", "close"]);
    expect(serverOwner.calls).toEqual(["ended", "close"]);
    clock.assertIdle();
  });
});
