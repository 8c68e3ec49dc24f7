// The corpus over HTTP/2: a client sends each request as HTTP/2 frames with the same meaning. The service must get the same
// message as over HTTP/1.1, or none if HTTP/1.1 refuses it; and invalid answers of a service must end in the same way.

import { beforeAll, describe, expect, it } from "vitest";
import { type Answer, data, H2Peer, headers } from "../../../packages/piko/test/h2-peer.js";
import { eventually, within } from "../../harness/deadline.js";
import { startTunnel, type Tunnel } from "../../harness/piko.js";
import { RawClient } from "../../harness/raw-client.js";
import { perFile, perTest } from "../../harness/stage.js";
import { asHttp2, type StreamRequest } from "./as-http2.js";
import { type Outcome, readCases } from "./corpus.js";
import { meanings, withoutForwardedFields } from "./reached.js";
import { Recorder } from "./recorder.js";

const PROTOCOL_ERROR = 1;
/**
 * HTTP/1.1 refuses these to protect readers that count lines. HTTP/2 has a single place for the host, and other fields may
 * agree with it.
 */
const AGREED_HOST: ReadonlySet<string> = new Set(["two equal Hosts", "an absolute target without Host"]);

const stage = perFile();
const scene = perTest();
let recorder: Recorder;
let tunnel: Tunnel;

beforeAll(async () => {
  recorder = await Recorder.start(stage);
  tunnel = await startTunnel(stage, recorder.addr);
});

/** What happened to one request. */
interface Fate {
  /** The status of the answer, or `refused` if the message is malformed in HTTP/2 and its stream was reset. */
  readonly status: number | "refused";
  /** Whether the stream was reset after the head. */
  readonly cut: boolean;
}

class Client {
  readonly #client: RawClient;
  readonly #peer: H2Peer;
  #streamId = -1;

  private constructor(client: RawClient) {
    this.#client = client;
    this.#peer = new H2Peer({
      send: (bytes) => client.send(bytes),
      take: () => {
        const taken = client.buffer.toString("latin1");
        client.buffer = Buffer.alloc(0);
        return taken;
      },
    });
  }

  static async connect(): Promise<Client> {
    return new Client(await RawClient.connect(scene, tunnel.server.proxy));
  }

  async ask({ body, fields, hasBody, open, trailers }: StreamRequest): Promise<Fate> {
    this.#streamId += 2;
    const id = this.#streamId;
    const hasTrailers = trailers.length > 0;
    this.#peer.send(headers(id, fields, !hasBody && !hasTrailers));
    if (hasBody) this.#peer.send(data(id, body, !hasTrailers && !open));
    if (hasTrailers) this.#peer.send(headers(id, trailers));
    const answer = (): Answer => this.#peer.answer(id);
    const over = (): boolean => answer().ended || answer().reset !== undefined || this.#client.ended;
    while (!over()) await within(this.#change(), "more of the answer");
    const { ended, heads, reset } = answer();
    const status = heads.map((head) => Number(head[":status"])).find((each) => each >= 200);
    if (status !== undefined) return { status, cut: !ended };
    expect([reset, this.#peer.goAway?.code]).toContain(PROTOCOL_ERROR);
    return { status: "refused", cut: false };
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#client.socket.once("data", () => resolve());
      void this.#client.end.then(resolve);
    });
  }
}

/** Statuses with which HTTP/1.1 answers messages that are malformed in HTTP/2. */
const REFUSED: ReadonlySet<number> = new Set([400, 431, 501]);

/** Whether the requests ended as the outcome for HTTP/1.1 says. */
function agrees(fates: readonly Fate[], { answers, fate }: Outcome): boolean {
  const expected = answers.filter(({ status }) => status >= 200);
  return (
    fates.length === expected.length &&
    fates.every(({ cut, status }, index) => {
      const wanted = expected[index]?.status;
      const last = index === fates.length - 1;
      if (cut !== (fate === "cut" && last)) return false;
      return status === wanted || (status === "refused" && REFUSED.has(wanted ?? 0));
    })
  );
}

describe.each([
  // Without the cases about features that HTTP/2 lacks: request lines, line ends, chunks, upgrades, incomplete bodies.
  ["requests.txt", 185],
  ["chunks.txt", 10],
  ["responses.txt", 60],
])("%s", (file, min) => {
  const cases = readCases(file).flatMap((each) => {
    const requests = asHttp2(each);
    return typeof requests === "string" ? [] : [{ ...each, requests }];
  });

  it("has a counterpart in HTTP/2 for most cases", () => expect(cases.length).toBeGreaterThanOrEqual(min));

  it.each(cases)("$title", async ({ answer, outcomes, reaches, requests, title }) => {
    recorder.reset(answer, (bytes) => [bytes]);
    const client = await Client.connect();
    const fates: Fate[] = [];
    for (const request of requests) fates.push(await client.ask(request));
    await eventually(() => recorder.partial.length === 0, "end of the request's rest at the service");
    expect(recorder.violations).toEqual([]);
    const reached = meanings(recorder.requests.map(withoutForwardedFields).join(""));
    if (AGREED_HOST.has(title)) {
      expect(fates).toEqual([{ status: 200, cut: false }]);
      expect(reached.map(({ fields }) => fields)).toEqual([["host: web.test"]]);
      return;
    }
    expect(
      outcomes.some((outcome) => agrees(fates, outcome)),
      JSON.stringify(fates),
    ).toBe(true);
    if (reaches !== undefined) expect(reached).toEqual(meanings(reaches.toString("latin1")));
    else if (answer === undefined || answer.early) expect(reached).toEqual([]);
  });
});
