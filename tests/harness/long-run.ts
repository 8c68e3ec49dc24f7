// Tests that have a short form for every day and a long one for acceptance: `npm run test:long` runs the long one.

import { it, type TestAPI } from "vitest";

/** Whether the long form is wanted. */
export const LONG: boolean = process.env["PIKO_LONG_RUN"] === "1";

/** Tests of one file that run side by side in their short forms, which mostly wait; the long ones load the machine, each by itself. */
export const together: TestAPI | TestAPI["concurrent"] = LONG ? it : it.concurrent;
