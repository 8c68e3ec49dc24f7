// A gRPC server behind an endpoint. npm install @piko/client @grpc/grpc-js
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { serve } from "@piko/client";

// Messages are bytes here; @grpc/proto-loader makes such a definition of a .proto file.
const asIs = (bytes) => bytes;
const hello = {
  path: "/piko.example.Greeter/Hello",
  requestStream: false,
  responseStream: false,
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};

const server = new Server();
server.addService({ hello }, { hello: (call, done) => done(null, Buffer.from(`hello, ${call.request}`)) });

const listener = await serve("grpc", server.createConnectionInjector(ServerCredentials.createInsecure()));
console.log("listening on endpoint grpc");

process.once("SIGTERM", async () => {
  await listener.close();
  server.forceShutdown();
});
