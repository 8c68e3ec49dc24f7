// Common to the two nginx configurations, the backend's and the proxy's: one process, and no path outside the run's directory.
// @ts-check

import { join } from "node:path";

/**
 * The configuration up to and into the `http` block, which the caller closes.
 * @param {string} directory
 * @param {string} name keeps the files of two instances apart
 */
export function nginxPreamble(directory, name) {
  const path = (/** @type {string} */ kind) => join(directory, `nginx-${name}-${kind}`);
  // A single process without a master: it accounts for all CPU time, and ends on a signal.
  return `daemon off;
master_process off;
worker_processes 1;
pid ${path("pid")};
error_log stderr error;
events { worker_connections 4096; }
http {
  client_body_temp_path ${path("body")};
  proxy_temp_path ${path("proxy")};
  fastcgi_temp_path ${path("fastcgi")};
  uwsgi_temp_path ${path("uwsgi")};
  scgi_temp_path ${path("scgi")};
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  tcp_nodelay on;`;
}
