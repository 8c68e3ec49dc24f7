// A TCP service behind an endpoint, without a port: reach it by `piko forward tcp 7000 tcp`, or by `dial("tcp")`.
// npm install @piko/client
import { listen } from "@piko/client";

const listener = await listen("tcp");
listener.on("connection", (socket) => {
  socket.write("say something\n");
  socket.pipe(socket);
});
console.log("listening on endpoint tcp");

process.once("SIGTERM", () => listener.close());
