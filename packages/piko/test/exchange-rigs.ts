// In-memory exchanges. After each test they are ended, and it is checked that nothing is left.

import { afterEach, expect } from "vitest";
import { REASONS } from "../src/http/reasons.js";
import { ExchangeRig, type RigOptions } from "./exchange-rig.js";

/** Returns a function that creates a rig. */
export function exchangeRigs(): (options?: RigOptions) => ExchangeRig {
  const rigs: ExchangeRig[] = [];
  afterEach(() => {
    for (const rig of rigs.splice(0)) {
      expect(rig.faults).toEqual([]);
      if (rig.client.busy) rig.client.gone(REASONS.client_gone);
      rig.release();
      expect(rig.budget.used).toBe(0);
      rig.clock.assertIdle();
    }
  });
  return (options) => {
    const rig = new ExchangeRig(options);
    rigs.push(rig);
    return rig;
  };
}
