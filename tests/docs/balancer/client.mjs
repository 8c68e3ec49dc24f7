// A client on a host of its own: `node client.mjs CA SILENCE_MS` sends every kind of traffic through the load balancer, and
// prints the answers. A WebSocket, a gRPC stream and a TCP connection each stay silent for SILENCE_MS in between.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectH2 } from "node:http2";
import { request } from "node:https";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import WebSocket from "ws";
import { ECHO } from "./echo.mjs";

const HOST = "my-endpoint.piko.example.com";
const UPLOAD_BYTES = 20 * 1024 * 1024;
const [, , caPath, silence] = process.argv;
const silenceMs = Number(silence);
const ca = readFileSync(caPath);

/** The request and its response; `send` writes the request's body. */
async function ask(path, send = (sent) => sent.end()) {
  const sent = request({ host: HOST, path, method: path === "/" ? "GET" : "POST", ca, agent: false });
  send(sent);
  const [response] = await once(sent, "response");
  return { sent, response };
}

async function fields() {
  const { response } = await ask("/");
  return JSON.parse(await text(response));
}

async function fieldsByHttp2() {
  const session = connectH2(`https://${HOST}`, { ca });
  const stream = session.request({ ":path": "/", ":authority": HOST });
  const body = await text(stream);
  session.close();
  return JSON.parse(body);
}

async function firstEvent() {
  const { sent, response } = await ask("/events");
  const [piece] = await once(response, "data");
  sent.destroy();
  return String(piece).trim();
}

/** Sends the second piece once the first one has been echoed. */
async function talk() {
  const { sent, response } = await ask("/talk", (open) => void open.write("one"));
  const pieces = [];
  for await (const piece of response) {
    pieces.push(String(piece));
    if (pieces.length === 1) sent.end("two");
  }
  return pieces;
}

async function upload() {
  const { response } = await ask("/count", (sent) => void sent.end(Buffer.alloc(UPLOAD_BYTES)));
  return Number(await text(response)) === UPLOAD_BYTES;
}

async function webSocket() {
  const socket = new WebSocket(`wss://${HOST}/`, { ca });
  await once(socket, "open");
  const echoes = [];
  for (const message of ["one", "two"]) {
    socket.send(message);
    echoes.push(String((await once(socket, "message"))[0]));
    if (echoes.length === 1) await delay(silenceMs);
  }
  socket.close();
  return echoes;
}

async function grpc() {
  const Client = makeGenericClientConstructor(ECHO, "Echo");
  const client = new Client("greeter.piko.example.com:443", credentials.createSsl(ca));
  const call = client.chat();
  const status = once(call, "status");
  call.on("error", () => {});
  const echoes = [];
  for (const message of ["one", "two"]) {
    call.write(Buffer.from(message));
    echoes.push(String((await once(call, "data"))[0]));
    if (echoes.length === 1) await delay(silenceMs);
  }
  call.end();
  call.resume();
  const [{ code }] = await status;
  client.close();
  return { echoes, code };
}

/** Through `piko forward tcp` on this host. */
async function tcp() {
  const socket = connect(7001);
  const echoes = [];
  for (const message of ["one", "two"]) {
    socket.write(message);
    echoes.push(String((await once(socket, "data"))[0]));
    if (echoes.length === 1) await delay(silenceMs);
  }
  socket.destroy();
  return echoes;
}

const kinds = { fields, fieldsByHttp2, firstEvent, talk, upload, webSocket, grpc, tcp };
const late = delay(20_000 + silenceMs, "no answer");
const results = await Promise.all(
  Object.entries(kinds).map(async ([kind, run]) => [kind, await Promise.race([run(), late]).catch(String)]),
);
console.log(JSON.stringify(Object.fromEntries(results)));
process.exit();
