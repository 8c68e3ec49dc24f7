// Fastify behind an endpoint: its server, once it is ready. npm install @piko/client fastify
import { serve } from "@piko/client";
import fastify from "fastify";

const app = fastify();
app.get("/", () => "hello from Fastify\n");
await app.ready();

const listener = await serve("fastify", app.server);
console.log("listening on endpoint fastify");

process.once("SIGTERM", async () => {
  await listener.close();
  await app.close();
});
