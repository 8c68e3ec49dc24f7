// Plain TCP clients that send requests to the endpoint `web`, one connection each, until it answers as it should.

import { eventually } from "./deadline.js";
import { RawClient } from "./raw-client.js";
import type { RawResponse } from "./raw-response.js";
import type { Stage } from "./stage.js";

export const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: web.test\r\n\r\n`;

interface Asking {
  /** Returns the answer to one request at a proxy port, within `ms`. */
  ask(proxy: string, path?: string, ms?: number): Promise<RawResponse>;
  /** Repeats the request until the answer has this status. */
  untilStatus(proxy: string, status: number, ms?: number): Promise<RawResponse>;
}

/** Its connections are closed with the stage. */
export function asking(stage: Stage): Asking {
  const ask = async (proxy: string, path = "/item?i=1", ms?: number): Promise<RawResponse> => {
    const client = await RawClient.connect(stage, proxy);
    client.send(get(path));
    const response = await client.response("GET", ms);
    client.socket.destroy();
    return response;
  };
  const untilStatus = (proxy: string, status: number, ms?: number): Promise<RawResponse> =>
    eventually(
      async () => {
        const response = await ask(proxy).catch(() => undefined);
        return response?.status === status && response;
      },
      `${status}`,
      ms,
    );
  return { ask, untilStatus };
}
