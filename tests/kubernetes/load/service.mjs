// The service behind the agents: answers /answer/N, echoes what is posted to /echo, and continues /stream until its client
// leaves. When it is stopped, it finishes its requests first, as a graceful server does.

import { createServer } from "node:http";

const server = createServer((incoming, response) => {
  if (incoming.method === "POST") {
    const chunks = [];
    incoming.on("data", (chunk) => chunks.push(chunk)).on("end", () => response.end(Buffer.concat(chunks)));
    return;
  }
  if (incoming.url === "/stream") {
    const timer = setInterval(() => response.write("more\n"), 500);
    response.write("first\n");
    response.on("close", () => clearInterval(timer));
    return;
  }
  response.end(`answer to ${incoming.url.split("/").at(-1)}`);
});
server.keepAliveTimeout = 120_000;
server.listen(8_080, () => console.log("listening"));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
