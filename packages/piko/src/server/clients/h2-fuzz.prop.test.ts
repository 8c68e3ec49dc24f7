// Random frames that no correct client would send: nothing throws, nothing is leaked, and only valid HTTP/1.1 reaches the
// service.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { block, frame, GET_FIELDS, headers, POST_FIELDS } from "../../../test/h2-peer.js";
import { H2Rig } from "../../../test/h2-rigs.js";
import { parseRequestHead } from "../../http/h1/parse-request-head.js";
import { HEAD_COMPLETE, RequestHead } from "../../http/head.js";

const OK = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n";

const streamId = fc.oneof(fc.constantFrom(0, 1, 3, 5, 7, 9), fc.nat(20), fc.constant(0x7fff_ffff));
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each).toString("latin1"));
const anyFrame = fc
  .tuple(
    fc.oneof(fc.nat(9), fc.nat(255)),
    fc.oneof(fc.constantFrom(0, 1, 4, 5, 8, 9, 13, 0x25), fc.nat(255)),
    streamId,
    bytes,
  )
  .map(([type, flags, id, payload]) => frame(type, flags, id, payload));
const sized = fc
  .tuple(fc.constantFrom(2, 3, 4, 6, 8), streamId, fc.uint8Array({ minLength: 8, maxLength: 8 }))
  .map(([type, id, payload]) => {
    const length = { 2: 5, 3: 4, 4: 6, 6: 8, 8: 4 }[type] ?? 0;
    return frame(type, 0, id, Buffer.from(payload).toString("latin1").slice(0, length));
  });
const request = fc
  .tuple(streamId, fc.constantFrom(GET_FIELDS, POST_FIELDS), fc.boolean())
  .map(([id, fields, last]) => headers(id, fields, last));
const corrupted = fc.tuple(streamId, fc.nat(60), fc.nat(255)).map(([id, at, byte]) => {
  const text = block(GET_FIELDS);
  return frame(1, 5, id, text.slice(0, at) + String.fromCharCode(byte) + text.slice(at + 1));
});
const body = fc
  .tuple(streamId, fc.boolean(), bytes)
  .map(([id, last, payload]) => frame(0, last ? 1 : 0, id, payload));
const sent = fc.array(fc.oneof(request, request, body, sized, anyFrame, corrupted), { maxLength: 30 });

describe("H2Client", () => {
  it("survives any frames", () => {
    const head = new RequestHead(200);
    fc.assert(
      fc.property(sent, fc.array(fc.nat(2_000), { maxLength: 3 }), fc.nat(255), (frames, cuts, answers) => {
        const rig = new H2Rig({ http2: { maxResets: 20, maxControlFrames: 50 } });
        const all = frames.join("");
        const places = cuts.map((cut) => Math.min(cut, all.length)).sort((a, b) => a - b);
        rig.socket.send(all, ...places);
        rig.node.tunnel.streams.forEach((stream, at) => {
          const text = Buffer.from(stream.written, "latin1");
          expect(parseRequestHead(head, text, 0, text.length)).toBe(HEAD_COMPLETE);
          if (((answers >> at) & 1) === 1 && stream.calls.length === 0) stream.deliver(OK);
        });
        rig.peer.answer(1);
        rig.node.clock.advance(20_000);
        rig.close();
        expect(rig.gone).toBe(1);
        expect(rig.node.metrics.inFlight).toBe(0);
        expect([rig.node.budget.used, rig.shared.unsent.used]).toEqual([0, 0]);
        expect(rig.node.upstreams.find("e")?.requests ?? 0).toBe(0);
        rig.node.clock.assertIdle();
      }),
      { numRuns: Number(process.env["PIKO_FUZZ_RUNS"] ?? 300) },
    );
  });
});
