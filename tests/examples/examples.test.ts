// The programs of examples/, as a user starts them: reached through a node, also after the node's restart, and stopped.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { credentials, Client as GrpcClient } from "@grpc/grpc-js";
import { createTRPCClient, httpLink } from "@trpc/client";
import { dial } from "@piko/client";
import { io } from "socket.io-client";
import { beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { eventually } from "../harness/deadline.js";
import { type RunningServer, startServer } from "../harness/piko.js";
import { type Program, startProgram } from "../harness/program.js";
import { perFile } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const EXAMPLES = fileURLToPath(new URL("../../examples", import.meta.url));

const stage = perFile();
const programs = new Map<string, Program>();
let server: RunningServer;
let environment: Record<string, string>;

/** What a client of the example receives. */
type Visit = (endpoint: string) => Promise<string>;

function fields(endpoint: string): Record<string, string> {
  return { "x-piko-endpoint": endpoint, connection: "close" };
}

const overHttp: Visit = async (endpoint) => {
  const response = await fetch(`http://${server.proxy}/`, { headers: fields(endpoint) });
  return await response.text();
};

/** How each example is reached, and what it answers. `fetch` is itself a client. */
const VISITS: Readonly<Record<string, [visit: Visit, answer: RegExp]>> = {
  "express.mjs": [overHttp, /^hello from Express\n$/],
  "fastify.mjs": [overHttp, /^hello from Fastify\n$/],
  "koa.mjs": [overHttp, /^hello from Koa\n$/],
  "hono.mjs": [overHttp, /^hello from Hono\n$/],
  "trpc.mjs": [
    async (endpoint) => {
      const link = httpLink({ url: `http://${server.proxy}`, headers: fields(endpoint) });
      const client = createTRPCClient({ links: [link] }) as unknown as {
        hello: { query(): Promise<string> };
      };
      return await client.hello.query();
    },
    /^hello from tRPC$/,
  ],
  "ws.mjs": [
    (endpoint) =>
      new Promise((resolve, reject) => {
        const client = new WebSocket(`ws://${server.proxy}/`, { headers: { "x-piko-endpoint": endpoint } });
        client.once("open", () => client.send("hello"));
        client.once("error", reject).once("message", (data) => {
          resolve(String(data));
          client.close();
        });
      }),
    /^you said hello$/,
  ],
  "socket.io.mjs": [
    async (endpoint) => {
      const extraHeaders = { "x-piko-endpoint": endpoint };
      const client = io(`http://${server.proxy}`, { extraHeaders, forceNew: true });
      try {
        return (await client.timeout(10_000).emitWithAck("say", "hello")) as string;
      } finally {
        client.disconnect();
      }
    },
    /^you said hello$/,
  ],
  "event-stream.mjs": [
    async (endpoint) => {
      const response = await fetch(`http://${server.proxy}/`, { headers: fields(endpoint) });
      const reader = response.body?.getReader();
      const event = await reader?.read();
      await reader?.cancel();
      return Buffer.from(event?.value ?? []).toString();
    },
    /^data: \d{4}-.*\n\n$/,
  ],
  "grpc.mjs": [
    (endpoint) =>
      new Promise((resolve, reject) => {
        const asIs = (bytes: Buffer): Buffer => bytes;
        const client = new GrpcClient(server.proxy, credentials.createInsecure(), {
          "grpc.default_authority": `${endpoint}.example.com`,
        });
        const name = Buffer.from("you");
        client.makeUnaryRequest("/piko.example.Greeter/Hello", asIs, asIs, name, (error, answer) => {
          client.close();
          if (error === null) resolve(String(answer));
          else reject(error);
        });
      }),
    /^hello, you$/,
  ],
  "tcp.mjs": [
    async (endpoint) => {
      const socket = await dial(endpoint, { url: `http://${server.proxy}` });
      socket.end("hello");
      let all = "";
      for await (const bytes of socket) all += String(bytes);
      return all;
    },
    /^say something\nhello$/,
  ],
};
const names = Object.keys(VISITS);

function endpointOf(name: string): string {
  return name.replace(/\.mjs$/, "").replaceAll(".", "-");
}

/** Sends requests until the example answers: its tunnel may not be open yet. */
async function visit(name: string): Promise<void> {
  const [ask, answer] = VISITS[name] ?? [overHttp, /^$/];
  const answered = async (): Promise<boolean> => {
    try {
      return answer.test(await ask(endpointOf(name)));
    } catch {
      return false;
    }
  };
  await eventually(answered, `answer of ${name}`);
}

beforeAll(async () => {
  server = await startServer(stage);
  environment = { PIKO_CONNECT_URL: `http://${server.upstream}`, PIKO_PROXY_URL: `http://${server.proxy}` };
  for (const name of names) {
    const options = { env: environment, stopCode: 0 };
    programs.set(name, startProgram(stage, name, process.execPath, [join(EXAMPLES, name)], options));
  }
});

describe("examples", () => {
  it("are all here", () => {
    const files = readdirSync(EXAMPLES).filter((name) => name.endsWith(".mjs"));
    expect(files.toSorted()).toEqual([...names, "fetch.mjs"].toSorted());
  });

  it.each(names)("%s is reached through a node", async (name) => {
    await programs.get(name)?.waitForLine(({ text }) => text.startsWith("listening on "), "listening");
    await visit(name);
  });

  it("fetch.mjs reaches one of them", async () => {
    const result = await run(process.execPath, [join(EXAMPLES, "fetch.mjs")], { env: environment });
    expect(result).toEqual({ code: 0, stdout: "200 { id: '7', name: 'seven' }\n", stderr: "" });
  });

  it("are reached again after their node has restarted", async () => {
    const { proxy, upstream } = server;
    await server.program.stop();
    server = await startServer(stage, { "proxy.bind-addr": proxy, "upstream.bind-addr": upstream });
    await Promise.all(names.map(visit));
  });

  it.each(names)("%s stops cleanly", async (name) => {
    const program = programs.get(name);
    await program?.stop();
    expect(program?.exit).toEqual({ code: 0, signal: null });
    expect(program?.lines.map(({ text }) => text)).toEqual([`listening on endpoint ${endpointOf(name)}`]);
  });
});
