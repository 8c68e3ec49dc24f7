// An event stream behind an endpoint. npm install @piko/client
import { serve } from "@piko/client";

const listener = await serve("event-stream", (request, response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  const tell = () => response.write(`data: ${new Date().toISOString()}\n\n`);
  tell();
  const timer = setInterval(tell, 1_000);
  // A stream has no end of its own: it ends with its client, or when the program is told to stop.
  const end = () => response.end();
  listener.once("closing", end);
  response.once("close", () => {
    clearInterval(timer);
    listener.off("closing", end);
  });
});
console.log("listening on endpoint event-stream");

process.once("SIGTERM", () => listener.close());
