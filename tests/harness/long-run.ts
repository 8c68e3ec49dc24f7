// Tests with a short form for every day and a long form for acceptance: `npm run test:long` runs the long form.

import { it, type TestAPI } from "vitest";

/** Whether to run the long form. */
export const LONG: boolean = process.env["PIKO_LONG_RUN"] === "1";

/**
 * For the tests of one file: the short forms mostly wait, so they run concurrently; the long ones load the machine, so they
 * run one by one.
 */
export const together: TestAPI | TestAPI["concurrent"] = LONG ? it : it.concurrent;
