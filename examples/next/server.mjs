// A Next custom server behind an endpoint. npm install @piko/client next react react-dom
import { createServer } from "node:http";
import { serve } from "@piko/client";
import next from "next";

const server = createServer((request, response) => handle(request, response));
const app = next({
  dev: process.env.NODE_ENV !== "production",
  dir: import.meta.dirname,
  httpServer: server,
});
const handle = app.getRequestHandler();
await app.prepare();

const listener = await serve("next", server);
console.log("listening on endpoint next");

process.once("SIGTERM", async () => {
  await listener.close();
  await app.close();
  process.exit(); // in development, Next watches files on
});
