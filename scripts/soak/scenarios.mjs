// The scenarios of a soak, and how often each runs. A scenario sends its requests, throws if a response is wrong, and
// returns the number of its requests.

import { Client } from "./client.mjs";

const HOST = "Host: soak.test\r\n";
const BODY = "hello ".repeat(20);
const LARGE_BODY = BODY.repeat(8_000);
const LARGE_FIELD = `X: ${"x".repeat(10_000)}\r\n`;

/**
 * @typedef {object} Worker
 * @property {number} port of the proxy
 * @property {number} forwardPort of `piko forward tcp`
 * @property {() => Promise<Client>} client its persistent connection, reopened if it has ended
 */

/** @typedef {(worker: Worker) => Promise<number>} Scenario */

/**
 * One request on the persistent connection.
 * @param {string} text
 * @param {number} status
 * @param {string} [method]
 * @returns {Scenario}
 */
const kept =
  (text, status, method = "GET") =>
  async (worker) => {
    const client = await worker.client();
    expectStatus(await client.ask(text, method), status, text);
    return 1;
  };

/**
 * An action on a connection of its own.
 * @param {(client: Client) => Promise<void>} act
 * @returns {Scenario}
 */
const onOwnConnection = (act) => async (worker) => {
  const client = await Client.connect(worker.port);
  try {
    await act(client);
  } finally {
    await client.close();
  }
  return 1;
};

/**
 * A request whose response ends the connection.
 * @param {string} text
 * @param {number} status
 */
const untilClosed = (text, status) =>
  onOwnConnection(async (client) => {
    expectStatus(await client.ask(text), status, text);
    await client.end;
  });

/**
 * @param {import("./client.mjs").Answer | undefined} answer
 * @param {number} status
 * @param {string} text
 */
function expectStatus(answer, status, text) {
  if (answer?.status === status) return;
  throw new Error(
    `${JSON.stringify(text.slice(0, 100))}: ${answer?.status ?? "no answer"} instead of ${status}`,
  );
}

const get = (/** @type {string} */ path) => `GET ${path} HTTP/1.1\r\n${HOST}\r\n`;
const chunk = `${BODY.length.toString(16)}\r\n${BODY}\r\n`;

/**
 * Upgrades to a WebSocket and has a message echoed. The mask is 0, which leaves the payload readable.
 * @param {string} path
 * @param {string} host
 */
const webSocket = (path, host) =>
  onOwnConnection(async (client) => {
    const text =
      `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n";
    expectStatus(await client.ask(text), 101, text);
    const masked = String.fromCharCode(0x80 | BODY.length);
    client.send(`\x82${masked}\0\0\0\0${BODY}`);
    let message = "";
    // TCP has no messages: the echo of a TCP service may arrive in several.
    while (message.length < BODY.length) {
      const [opcode = 0, length = 0] = Buffer.from(await client.read(2), "latin1");
      if (opcode !== 0x82 || length > BODY.length) throw new Error(`${path}: frame ${opcode}, ${length}`);
      message += await client.read(length);
    }
    if (message !== BODY) throw new Error(`${path}: the echoed message differs`);
  });

/**
 * A TCP connection through `piko forward tcp`.
 * @param {string} text
 * @returns {Scenario}
 */
const forwarded = (text) => async (worker) => {
  const client = await Client.connect(worker.forwardPort);
  try {
    if ((await client.exchange(text)) !== text) throw new Error("forwarded bytes differ");
  } finally {
    await client.close();
  }
  return 1;
};

/** @type {[name: string, weight: number, scenario: Scenario][]} */
export const SCENARIOS = [
  ["small", 600, kept(get("/small"), 200)],
  [
    "eight small ones at once",
    150,
    async (worker) => {
      const client = await worker.client();
      const answers = await Promise.all(Array.from({ length: 8 }, () => client.ask(get("/small"))));
      for (const answer of answers) expectStatus(answer, 200, "one of eight");
      return answers.length;
    },
  ],
  ["10 KiB", 60, kept(get("/10k"), 200)],
  ["1 MiB", 1, kept(get("/1m"), 200)],
  ["chunked answer", 40, kept(get("/chunks"), 200)],
  ["HEAD", 20, kept(`HEAD /10k HTTP/1.1\r\n${HOST}\r\n`, 200, "HEAD")],
  ["204", 10, kept(get("/204"), 204)],
  ["304", 10, kept(get("/304"), 304)],
  ["404", 10, kept(get("/nothing"), 404)],
  ["interim answer", 10, kept(get("/hints"), 200)],
  ["upload", 80, kept(`POST /echo HTTP/1.1\r\n${HOST}Content-Length: ${BODY.length}\r\n\r\n${BODY}`, 200)],
  [
    "chunked upload",
    40,
    kept(
      `POST /echo HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${chunk}${chunk}0\r\nX-Sum: 1\r\n\r\n`,
      200,
    ),
  ],
  [
    "1 MB upload",
    1,
    kept(`POST /echo HTTP/1.1\r\n${HOST}Content-Length: ${LARGE_BODY.length}\r\n\r\n${LARGE_BODY}`, 200),
  ],
  ["large head", 10, kept(`GET /small HTTP/1.1\r\n${HOST}${LARGE_FIELD}\r\n`, 200)],
  ["unknown endpoint", 10, kept("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n", 502)],
  [
    "pipelined",
    10,
    async (worker) => {
      const client = await worker.client();
      const texts = [get("/small"), get("/10k"), get("/chunks")];
      const answers = await Promise.all(texts.map((text) => client.ask(text)));
      for (const [i, answer] of answers.entries()) expectStatus(answer, 200, texts[i] ?? "");
      return answers.length;
    },
  ],
  ["own connection", 30, untilClosed(`GET /small HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`, 200)],
  ["HTTP/1.0", 10, untilClosed(`GET /small HTTP/1.0\r\n${HOST}\r\n`, 200)],
  ["malformed", 10, untilClosed(`GET / HTTP/1.1\r\n${HOST}bad line\r\n\r\n`, 400)],
  [
    "bad chunk",
    5,
    untilClosed(`POST /echo HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n`, 400),
  ],
  [
    "early answer",
    5,
    untilClosed(`POST /early HTTP/1.1\r\n${HOST}Content-Length: 1000000\r\n\r\nhello`, 413),
  ],
  [
    "dying service",
    5,
    onOwnConnection(async (client) => {
      const answer = await client.ask(`POST /dies HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`);
      if (answer !== undefined && answer.status !== 502) throw new Error("a cut answer looked whole");
    }),
  ],
  [
    "half a head",
    5,
    onOwnConnection(async (client) => {
      client.send(`GET /small HTTP/1.1\r\n${HOST}X-Hal`);
      await new Promise((resolve) => setImmediate(resolve));
    }),
  ],
  [
    "abandoned download",
    5,
    onOwnConnection(async (client) => {
      client.send(get("/1m"));
      await client.firstBytes();
    }),
  ],
  [
    "abandoned upload",
    5,
    onOwnConnection(async (client) => {
      client.send(`POST /echo HTTP/1.1\r\n${HOST}Content-Length: 100000\r\n\r\n${BODY}`);
      await client.firstBytes();
    }),
  ],
  ["events", 3, kept(`GET /events HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n\r\n`, 200)],
  [
    "upgrade",
    5,
    onOwnConnection(async (client) => {
      const text = `GET /raw HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: echo\r\n\r\n`;
      expectStatus(await client.ask(text), 101, text);
      if ((await client.exchange(BODY)) !== BODY) throw new Error("upgraded bytes differ");
    }),
  ],
  ["WebSocket", 5, webSocket("/socket", "soak.test")],
  ["TCP", 5, webSocket("/_piko/v1/tcp/soak-tcp", "any.test")],
  ["forwarded TCP", 5, forwarded(BODY)],
  ["1 MB of forwarded TCP", 1, forwarded(LARGE_BODY)],
  [
    // Its agent comes and goes: a request may fail, but must be answered.
    "churning endpoint",
    10,
    onOwnConnection(async (client) => {
      const answer = await client.ask("GET /small HTTP/1.1\r\nHost: churn.test\r\n\r\n");
      if (answer?.status !== 200 && answer?.status !== 502) {
        throw new Error(`churning endpoint: ${answer?.status ?? "no answer"}`);
      }
    }),
  ],
];

/** Picks scenarios by their weights. */
export function createPicker(random = Math.random) {
  const total = SCENARIOS.reduce((sum, [, weight]) => sum + weight, 0);
  return () => {
    let at = random() * total;
    for (const scenario of SCENARIOS) {
      at -= scenario[1];
      if (at < 0) return scenario;
    }
    return SCENARIOS[0];
  };
}
