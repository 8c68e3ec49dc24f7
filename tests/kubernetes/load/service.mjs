// The service behind the agents: answers /answer/N, and sends back what is posted to /echo. As a graceful server does, it
// finishes what it has when it is told to stop.

import { createServer } from "node:http";

const server = createServer((incoming, response) => {
  if (incoming.method === "POST") {
    const chunks = [];
    incoming.on("data", (chunk) => chunks.push(chunk)).on("end", () => response.end(Buffer.concat(chunks)));
    return;
  }
  response.end(`answer to ${incoming.url.split("/").at(-1)}`);
});
server.keepAliveTimeout = 120_000;
server.listen(8_080, () => console.log("listening"));
process.on("SIGTERM", () => server.close(() => process.exit(0)));
