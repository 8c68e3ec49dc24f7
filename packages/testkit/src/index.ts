// What the tests of all packages share. Nothing that is published imports it.

export { createBytePipe, type BytePipe, type BytePipeOptions } from "./byte-pipe.js";
export { type CertificateFiles, createCertificates } from "./certificates.js";
export { FakeClock } from "./fake-clock.js";
export { BLOCK_BYTES, PatternChecker, PatternSource } from "./pattern-bytes.js";
export { SeededRandom } from "./seeded-random.js";
