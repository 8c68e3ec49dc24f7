// Hono behind an endpoint, as any web-standard handler. npm install @piko/client hono
import { serve } from "@piko/client";
import { Hono } from "hono";

const app = new Hono();
app.get("/", (context) => context.text("hello from Hono\n"));

const listener = await serve("hono", app);
console.log("listening on endpoint hono");

process.once("SIGTERM", () => listener.close());
