// The service that the demo exposes: a web page, a JSON response, an event stream and an echo. It listens only on loopback
// and knows nothing about Piko.

import { createServer } from "node:http";

/** Starts the service on a free port. */
export async function startService() {
  const server = createServer(answer);
  await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: server.address().port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://service");
  if (pathname === "/") {
    response.writeHead(200, { "Content-Type": "text/html; charset=utf-8" }).end(PAGE);
  } else if (pathname === "/hello") {
    json(response, 200, {
      hello: searchParams.get("name") ?? "from behind the tunnel",
      method: request.method,
      host: request.headers.host,
      "x-forwarded-for": request.headers["x-forwarded-for"],
      "service-pid": process.pid,
    });
  } else if (pathname === "/events") {
    streamEvents(request, response);
  } else if (pathname === "/echo") {
    const type = request.headers["content-type"] ?? "application/octet-stream";
    response.writeHead(200, { "Content-Type": type });
    request.pipe(response);
  } else {
    json(response, 404, { error: `nothing at ${pathname}`, try: ["/", "/hello", "/events", "/echo"] });
  }
}

function json(response, status, value) {
  response.writeHead(status, { "Content-Type": "application/json" }).end(`${JSON.stringify(value)}\n`);
}

/** One event a second, until the client leaves. */
function streamEvents(request, response) {
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
  let count = 0;
  const send = () => response.write(`data: ${JSON.stringify({ event: ++count, time: new Date() })}\n\n`);
  send();
  const timer = setInterval(send, 1_000);
  request.socket.once("close", () => clearInterval(timer));
  response.once("close", () => clearInterval(timer));
}

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Piko demo</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; --line: light-dark(#d0d7de, #3d444d); --soft: light-dark(#57606a, #9198a1); }
  body { font: 17px/1.6 system-ui, sans-serif; max-width: 38rem; margin: 8vh auto; padding: 0 1.2rem; }
  h1 { font-size: 1.9rem; margin: 0; }
  .path { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1.6rem 0; align-items: center; color: var(--soft); }
  .path b { border: 1px solid var(--line); border-radius: .5rem; padding: .2rem .7rem; color: CanvasText; }
  section { border-top: 1px solid var(--line); padding: 1.1rem 0; }
  h2 { font-size: 1rem; margin: 0; }
  p { margin: .3rem 0; }
  code, output { font: .9rem ui-monospace, monospace; }
  output { display: block; min-height: 1.6em; color: var(--soft); overflow-wrap: anywhere; }
  button { font: inherit; padding: .25rem .9rem; border-radius: .5rem; border: 1px solid var(--line); cursor: pointer; }
</style>
</head>
<body>
<h1>This page came through the tunnel.</h1>
<p>The service that made it listens on loopback only. The agent beside it connected out to the server, and your
request came back that way.</p>
<div class="path"><b>you</b> → <b>server</b> → <b>tunnel</b> → <b>agent</b> → <b>service</b></div>
<section><h2>An event stream, open as long as you look</h2><output id="events">…</output></section>
<section><h2>A request</h2><p><button id="ask">GET /hello</button></p><output id="answer"></output></section>
<section><h2>An upload that comes back</h2><p><button id="send">POST 5 MB to /echo</button></p><output id="echo"></output></section>
<script>
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  const events = new EventSource("/events");
  events.onmessage = ({ data }) => { const { event, time } = JSON.parse(data); show("events", event + ": " + time); };
  events.onerror = () => show("events", "lost; the browser tries again");
  const timed = (id, ask) => async () => {
    const start = performance.now();
    const ms = () => Math.round(performance.now() - start) + " ms: ";
    try { const text = await ask(); show(id, ms() + text); } catch (error) { show(id, ms() + error); }
  };
  document.getElementById("ask").onclick = timed("answer", async () => (await fetch("/hello")).text());
  document.getElementById("send").onclick = timed("echo", async () => {
    const sent = new Uint8Array(5_000_000).map((_, i) => i * 31);
    const got = new Uint8Array(await (await fetch("/echo", { method: "POST", body: sent })).arrayBuffer());
    return got.length + " bytes came back, " + (sent.every((byte, i) => byte === got[i]) ? "all the same" : "changed");
  });
</script>
</body>
</html>
`;
