// Koa behind an endpoint. npm install @piko/client koa
import { serve } from "@piko/client";
import Koa from "koa";

const app = new Koa();
app.use((context) => {
  context.body = "hello from Koa\n";
});

const listener = await serve("koa", app.callback());
console.log("listening on endpoint koa");

process.once("SIGTERM", () => listener.close());
