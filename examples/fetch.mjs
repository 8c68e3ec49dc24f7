// A client of an endpoint, by fetch: run express.mjs beside it. npm install @piko/client
import { EndpointDispatcher } from "@piko/client";

const dispatcher = new EndpointDispatcher("express");
const response = await fetch("http://any-name/items/7", {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ name: "seven" }),
  dispatcher,
});
console.log(response.status, await response.json());
await dispatcher.close();
