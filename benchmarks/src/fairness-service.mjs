// The service of the fairness case, in a process of its own: a small response, an endless download, and an upload that is
// read as fast as it arrives. Prints its port.
// @ts-check

import { createServer } from "node:http";

const SMALL = "x".repeat(100);
const PIECE = Buffer.alloc(64 * 1024, "y");

const server = createServer((request, response) => {
  response.on("error", () => {});
  if (request.method === "POST") {
    request.resume().on("end", () => response.end(SMALL));
  } else if (request.url === "/endless") {
    const more = () => {
      while (response.write(PIECE));
    };
    response.on("drain", more);
    more();
  } else {
    response.end(SMALL);
  }
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`${typeof address === "object" ? address?.port : ""}\n`);
});
