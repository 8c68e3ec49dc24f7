import { afterEach, describe, expect, it } from "vitest";
import { defer, piko, tearDown } from "../test/per-test.js";
import type { DispatchController, DispatchHandler } from "./dispatch-handler.js";
import { EndpointDispatcher } from "./endpoint-dispatcher.js";
import { serve } from "./serve.js";

afterEach(tearDown);

interface Dispatching {
  dispatch(options: object, handler: DispatchHandler): boolean;
}

/** A handler in undici's later form, the only one in its version 8, that records its calls. */
function recorder(
  events: string[],
  done: () => void,
  onStart?: (controller: DispatchController) => void,
): DispatchHandler {
  return {
    onRequestStart(controller) {
      events.push("start");
      onStart?.(controller);
    },
    onResponseStart(controller, status, headers, statusText) {
      const raw = controller.rawHeaders.map(String);
      events.push(`${status} ${statusText} ${String(headers["x-a"])} ${raw[raw.indexOf("X-A") + 1]}`);
    },
    onResponseData(controller, chunk) {
      events.push(String(chunk));
      controller.pause();
      controller.resume();
    },
    onResponseEnd(controller, trailers) {
      events.push(`end ${trailers["x-t"]} ${controller.rawTrailers.map(String).join()}`);
      done();
    },
    onResponseError(controller, error) {
      events.push(`${error.message} ${controller.aborted} ${controller.reason === error}`);
      done();
    },
  };
}

async function dispatching(
  url: string,
  path: string,
  onStart?: (controller: DispatchController) => void,
): Promise<string[]> {
  const dispatcher = new EndpointDispatcher("e", { url }) as unknown as Dispatching & {
    destroy(): Promise<void>;
  };
  defer(() => dispatcher.destroy());
  const events: string[] = [];
  await new Promise<void>((resolve) => {
    dispatcher.dispatch({ origin: "http://x", path, method: "GET" }, recorder(events, resolve, onStart));
  });
  return events;
}

describe("a handler in undici's later form", () => {
  it("gets a response", async () => {
    const { url } = await piko();
    const listener = await serve(
      "e",
      (_request, response) => {
        response.writeHead(200, "Fine", { "X-A": "b", trailer: "X-T" }).write("words");
        response.addTrailers({ "X-T": "c" });
        response.end();
      },
      { url },
    );
    defer(() => listener.close({ graceMs: 0 }));
    expect(await dispatching(url, "/")).toEqual(["start", "200 Fine b b", "words", "end c X-T,c"]);
  });

  it("may abort, and is notified of the cause of a failure", async () => {
    const { url } = await piko();
    const listener = await serve("e", () => {}, { url });
    defer(() => listener.close({ graceMs: 0 }));
    const reason = new Error("enough");
    expect(await dispatching(url, "/", (controller) => controller.abort(reason))).toEqual([
      "start",
      "enough true true",
    ]);
    const later = dispatching(url, "/", (controller) => setTimeout(() => controller.abort(reason), 1));
    expect(await later).toEqual(["start", "enough true true"]);
  });

  it("that throws ends its request", async () => {
    const { url } = await piko();
    const listener = await serve("e", () => {}, { url });
    defer(() => listener.close({ graceMs: 0 }));
    const events = await dispatching(url, "/", () => {
      throw new Error("broken");
    });
    expect(events).toEqual(["start", "broken false false"]);
  });
});
