// Requests whose token is known, or must be verified first: what is held, what is verified, and how they are answered.

import { afterEach, describe, expect, it } from "vitest";
import { AuthDesk } from "../../../test/auth-desk.js";
import { MemoryTunnel } from "../../../test/memory-stream.js";
import { NodeRig } from "../../../test/node-rig.js";
import { TcpRig } from "../../../test/tcp-rig.js";
import { REFUSED } from "../../auth/refusal.js";

let desk = new AuthDesk();
let rig: NodeRig;

function start(): NodeRig {
  desk = new AuthDesk();
  rig = new NodeRig({ dependencies: { auth: desk } });
  return rig;
}

afterEach(() => rig.close());

const post = (body: string, length = body.length): string =>
  `POST /p HTTP/1.1\r\nHost: e.test\r\nAuthorization: Bearer t\r\nContent-Length: ${length}\r\n\r\n${body}`;
const GET = "GET /g HTTP/1.1\r\nHost: e.test\r\nAuthorization: Bearer t\r\n\r\n";

describe("a request with a new token", () => {
  it("isn't sent before the token is verified, and is sent whole after that", () => {
    start().socket.send(post("abc", 6));
    expect([rig.asked, desk.asked, rig.socket.paused]).toEqual([0, ["Bearer t"], true]);
    desk.answer(["e"]);
    expect(rig.socket.paused).toBe(false);
    rig.socket.send("def");
    expect(rig.stream.written).toMatch(/^POST \/p HTTP.*Content-Length: 6.*\r\n\r\nabcdef$/s);
    expect(rig.stream.written).not.toMatch(/bearer|authorization/i);
    rig.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 200 .*hi$/s);
  });

  it("is answered with 401 if the token is rejected, and the connection stays open", () => {
    start().socket.send(GET);
    desk.answer(REFUSED.expired);
    expect(rig.socket.take()).toMatch(
      /^HTTP\/1.1 401 Unauthorized\r\nContent-Type: application\/json; charset=utf-8\r\nContent-Length: 25\r\n.*\r\n\r\n{"error":"expired token"}$/s,
    );
    rig.socket.send(GET);
    expect([desk.asked.length, rig.asked]).toEqual([2, 0]);
  });

  it("is answered with 503 if the token can't be verified now", () => {
    start().socket.send(GET);
    desk.answer(REFUSED.busy);
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 503 .*Retry-After: 1\r\n.*too many tokens wait/s);
  });

  it("makes later requests wait, in their order", () => {
    start().socket.send(GET + GET.replace("/g", "/h"));
    expect(desk.asked).toHaveLength(1);
    desk.answer(["e"]);
    expect(rig.asked).toBe(1);
    rig.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect([rig.asked, desk.asked.length]).toEqual([2, 1]);
    expect(rig.stream.written).toMatch(/^GET \/h /);
  });

  it("is forgotten when its client disconnects", () => {
    start().socket.send(GET);
    rig.close();
    expect([desk.waiter, desk.cancelled, rig.asked, rig.statuses]).toEqual([undefined, 1, 0, { "499": 1 }]);
  });

  it("needs permission for the endpoint that would serve it", () => {
    start().socket.send(GET);
    desk.answer(["f"]);
    expect(rig.socket.take()).toContain('{"error":"endpoint not permitted"}');
    rig.socket.send(GET.replace("e.test", "E.test").replace("Bearer t", "Bearer u"));
    desk.answer(["e"]);
    expect(rig.asked).toBe(1);
  });

  it.each([
    ["in lower case if the token permits that one", ["f"], "f"],
    ["as it is spelled if the token permits that one", ["F", "f"], "F"],
  ])("whose host names an endpoint without listeners is for the one %s", (_title, may, served) => {
    start().socket.send(GET.replace("e.test", "F.test"));
    desk.answer(may);
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 502 .*no available upstreams/s);
    const tunnel = new MemoryTunnel(served);
    rig.upstreams.add(tunnel.asTunnel());
    rig.socket.send(GET.replace("e.test", "F.test"));
    expect(tunnel.streams).toHaveLength(1);
  });
});

describe("a token that was sent on the connection before", () => {
  it("isn't verified again, until another one is sent", () => {
    start();
    const round = (request: string): void => {
      rig.socket.send(request);
      desk.answer(["e"]);
      rig.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    };
    for (const request of [GET, GET, GET.replace("Bearer t", "Bearer u"), GET]) round(request);
    expect(desk.asked).toEqual(["Bearer t", "Bearer u", "Bearer t"]);
    expect(rig.asked).toBe(4);
  });

  it("is verified each time if there is a tenant id, since it may not be valid for it", () => {
    start();
    const ofTenant = GET.replace("Host", "x-piko-tenant-id: a\r\nHost");
    for (let n = 0; n < 2; n++) {
      rig.socket.send(ofTenant);
      desk.answer(["e"]);
      rig.stream.deliver("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
    expect([desk.asked.splice(0), rig.asked]).toEqual([["Bearer t of a", "Bearer t of a"], 2]);
    for (let n = 0; n < 2; n++) {
      rig.socket.send(ofTenant);
      desk.answer(REFUSED.tenant);
    }
    expect(desk.asked).toEqual(["Bearer t of a", "Bearer t of a"]);
  });
});

it("a request without a token is answered at once", () => {
  start().socket.send("GET /g HTTP/1.1\r\nHost: e.test\r\n\r\n");
  expect(rig.socket.take()).toMatch(/^HTTP\/1.1 401 .*missing authorization/s);
  expect([desk.asked, desk.waiter, rig.asked]).toEqual([["nothing"], undefined, 0]);
});

it("a request about the server itself needs no token", () => {
  start().socket.send("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
  expect([rig.socket.take().slice(0, 12), desk.asked]).toEqual(["HTTP/1.1 200", []]);
});

describe("a TCP dial with a new token", () => {
  it("is joined after its verification, with the data that its client sent meanwhile", () => {
    desk = new AuthDesk();
    const tcp = new TcpRig({ dependencies: { auth: desk } });
    rig = tcp.node;
    tcp.socket.send(tcp.request("Authorization: Bearer t\r\n"));
    // A binary frame with a zero mask.
    tcp.socket.send(Buffer.from([0x82, 0x85, 0, 0, 0, 0, ...Buffer.from("early")]).toString("latin1"));
    expect([rig.asked, tcp.socket.take()]).toEqual([0, ""]);
    desk.answer(["e"]);
    expect(tcp.socket.take()).toMatch(/^HTTP\/1.1 101 /);
    expect(tcp.stream.written).toBe("early");
  });

  it("is refused before its upgrade is checked", () => {
    start().socket.send("GET /_piko/v1/tcp/e HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n\r\n");
    desk.answer(["f"]);
    expect(rig.socket.take()).toMatch(/^HTTP\/1.1 401 /);
  });
});
