// A tRPC server behind an endpoint. npm install @piko/client @trpc/server
import { serve } from "@piko/client";
import { initTRPC } from "@trpc/server";
import { createHTTPHandler } from "@trpc/server/adapters/standalone";

const { procedure, router } = initTRPC.create();
const calls = router({ hello: procedure.query(() => "hello from tRPC") });

const listener = await serve("trpc", createHTTPHandler({ router: calls }));
console.log("listening on endpoint trpc");

process.once("SIGTERM", () => listener.close());
