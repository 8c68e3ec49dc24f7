// A server of status pages, and the screen that shows them.

import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { FakeClock } from "@piko/testkit";
import type { GivenSetting } from "../src/config/load-config.js";
import { loadConfig } from "../src/config/load-config.js";
import { STATUS, type StatusConfig } from "../src/config/status.js";
import type { Page } from "../src/status/pages.js";
import { runStatus } from "../src/status/run.js";

/** Servers that a test has started; it may add its own. */
export const servers: Server[] = [];

/** Closes the servers of a test. */
export function closeServers(): void {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
}

export async function serve(answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Serves JSON pages by their paths. */
export function servePages(pages: Readonly<Record<string, unknown>>): Promise<string> {
  return serve((request, response) => {
    const page = pages[request.url ?? ""];
    if (page === undefined) response.writeHead(404).end();
    else response.end(JSON.stringify(page));
  });
}

export function configOf(url: string, settings: Readonly<Record<string, unknown>> = {}): StatusConfig {
  const given: GivenSetting[] = Object.entries({ "server.url": url, ...settings }).map(([path, value]) => ({
    keys: path.split("."),
    value,
    flag: path,
  }));
  return loadConfig(STATUS, { path: undefined, expandEnv: false, env: {}, given });
}

export class TestScreen {
  text = "";
  errors = "";
  /** Called at each write, with everything written so far. */
  onWrite: () => void = () => {};
  readonly size: () => { columns: number; rows: number } | undefined;

  constructor(columns?: number, rows = 24) {
    this.size = () => (columns === undefined ? undefined : { columns, rows });
  }

  readonly write = (text: string): void => {
    this.text += text;
    this.onWrite();
  };

  readonly writeError = (text: string): void => {
    this.errors += text;
    this.onWrite();
  };

  hasReader = false;

  async until(holds: () => boolean): Promise<void> {
    await new Promise<void>((resolve) => {
      this.onWrite = () => {
        if (holds()) resolve();
      };
      this.onWrite();
    });
  }
}

export const NOW_MS = Date.parse("2026-11-25T12:00:00Z");

export async function show<T>(
  page: Page<T>,
  config: StatusConfig,
  screen = new TestScreen(),
): Promise<string> {
  const clock = new FakeClock();
  const { signal } = new AbortController();
  await runStatus({ config, page, screen, signal, clock, wallNow: () => NOW_MS });
  return screen.text;
}
