// Tests that have a short form for every day and a long one for acceptance: `npm run test:long` runs the long one.

/** Whether the long form is wanted. */
export const LONG: boolean = process.env["PIKO_LONG_RUN"] === "1";
