// The subjects of `--http2`, with clients that speak HTTP/2 with prior knowledge: requests go to a service that speaks
// HTTP/1.1, gRPC calls to one that speaks HTTP/2. Piko accepts HTTP/1.1 on the same port.
// @ts-check

import { STREAM_HOSTS } from "../cases.mjs";
import { haproxy, startHaproxy } from "./haproxy.mjs";
import { nginx, startNginx } from "./nginx.mjs";
import { piko, startAgent, startServer } from "./piko.mjs";

/** @type {import("./subject.mjs").Subject} */
const nginxHttp2 = {
  name: "nginx",
  title: "nginx (`http2`, `grpc_pass`)",
  compiles: false,
  takes: (kind) => kind === "requests" || kind === "calls",
  findObstacle: (options) => nginx.findObstacle(options),
  start({ backendPort, bench, grpcPort = 0 }) {
    const upstream = (/** @type {string} */ name, /** @type {number} */ to) =>
      `upstream ${name} { server 127.0.0.1:${to}; keepalive 512; keepalive_requests 1000000000; }`;
    return startNginx(
      bench,
      "http2",
      (port) => `  http2_max_concurrent_streams 1000;
  ${upstream("backend", backendPort)}
  ${upstream("calls", grpcPort)}
  server {
    listen 127.0.0.1:${port} http2;
    client_max_body_size 0;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
    }
    location /bench.Echo/ { grpc_pass grpc://calls; }
  }`,
    );
  },
};

/** @type {import("./subject.mjs").Subject} */
const haproxyHttp2 = {
  name: "haproxy",
  title: "haproxy (`proto h2`)",
  compiles: false,
  takes: nginxHttp2.takes,
  findObstacle: (options) => haproxy.findObstacle(options),
  start: ({ backendPort, bench, grpcPort = 0 }) =>
    startHaproxy(bench, {
      global: "  tune.h2.max-concurrent-streams 1000",
      defaults: "  mode http\n  option httplog\n  http-reuse always",
      sections: (port) => `frontend front
  bind 127.0.0.1:${port} proto h2
  use_backend calls if { path_beg /bench.Echo/ }
  default_backend service
backend service
  server service 127.0.0.1:${backendPort} pool-max-conn 512
backend calls
  server calls 127.0.0.1:${grpcPort} proto h2`,
    }),
};

/** @type {import("./subject.mjs").Subject} */
const pikoHttp2 = {
  name: "piko",
  title: piko.title,
  compiles: true,
  takes: nginxHttp2.takes,
  findObstacle: (options) => piko.findObstacle(options),
  async start(context) {
    const { backendPort, grpcPort = 0 } = context;
    const server = await startServer(context, []);
    const agent = await startAgent(context, server, backendPort);
    const endpoint = STREAM_HOSTS.calls.split(".")[0] ?? "";
    const ofCalls = await startAgent(context, server, grpcPort, { endpoint, flags: ["--protocol", "grpc"] });
    return {
      origin: `http://${server.proxy}`,
      parts: [
        { role: "server", program: server.program },
        // In each case, one of the two agents is idle.
        { role: "agent", program: agent },
        { role: "agent", program: ofCalls },
      ],
    };
  },
};

export const HTTP2_SUBJECTS = [nginxHttp2, haproxyHttp2, pikoHttp2];
