import { expect, it } from "vitest";
import type { ListenerConfig } from "../config/agent.js";
import { RecordedLog } from "../../test/recorded-log.js";
import type { Listener } from "./listener.js";
import { ListenerSet } from "./listener-set.js";

/** Listeners that start unless they are named "refused", and the grace period that each got when it was closed. */
function setOf(...ids: string[]): {
  set: ListenerSet;
  closed: string[];
  replace: (...ids: string[]) => Promise<void>;
} {
  const closed: string[] = [];
  const configOf = (endpointId: string): ListenerConfig => ({ endpointId }) as ListenerConfig;
  const create = (config: ListenerConfig): Listener =>
    ({
      config,
      start: async () => {
        if (config.endpointId === "refused") throw new Error("refused");
      },
      close: async (graceMs: number) => void closed.push(`${config.endpointId} ${graceMs}`),
    }) as unknown as Listener;
  const { logger } = new RecordedLog();
  const set = new ListenerSet(ids.map(configOf), { create, graceMs: 1_000, logger });
  return { set, closed, replace: (...next) => set.replace(next.map(configOf)) };
}

it("lets requests of removed listeners finish", async () => {
  const { set, closed, replace } = setOf("a", "b");
  await replace("b", "c");
  expect(set.all.map(({ config }) => config.endpointId)).toEqual(["b", "c"]);
  expect(closed).toEqual(["a 1000"]);
});

it("is unchanged if a new listener is refused, and lets requests of the other new ones finish", async () => {
  const { set, closed, replace } = setOf("a");
  await expect(replace("b", "refused")).rejects.toThrow("refused");
  expect(set.all.map(({ config }) => config.endpointId)).toEqual(["a"]);
  expect(closed).toEqual(["b 1000", "refused 1000"]);
});
