// Express behind an endpoint. npm install @piko/client express
import { serve } from "@piko/client";
import express from "express";

const app = express();
app.use(express.json());
app.get("/", (request, response) => response.send("hello from Express\n"));
app.post("/items/:id", (request, response) => response.json({ ...request.params, ...request.body }));

const listener = await serve("express", app);
console.log("listening on endpoint express");

process.once("SIGTERM", () => listener.close());
