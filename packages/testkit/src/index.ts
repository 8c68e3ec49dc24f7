// Common to the tests of all packages. No published code imports it.

export { createBytePipe, type BytePipe, type BytePipeOptions } from "./byte-pipe.js";
export {
  type CertificateFiles,
  CertificateWorkshop,
  createCertificates,
  type KeyPair,
} from "./certificates.js";
export { FakeClock } from "./fake-clock.js";
export { BLOCK_BYTES, PatternChecker, PatternSource } from "./pattern-bytes.js";
export { SeededRandom } from "./seeded-random.js";
export {
  type CrashKind,
  type NetworkConditions,
  type NetworkReceiver,
  SimulatedNetwork,
  SimulatedTransport,
} from "./simulated-network.js";
export { SimulatedClock } from "./simulation/simulated-clock.js";
export {
  type ClusterOptions,
  type CreateNode,
  ALL_NODES,
  type Life,
  type NodeSurroundings,
  SimulatedCluster,
  type SimulatedNode,
} from "./simulation/simulated-cluster.js";
export { type BusyTransport, SimulatedMachine, SimulatedProcess } from "./simulation/simulated-machine.js";
export { runScenario, type ScenarioOptions, type ScenarioResult } from "./simulation/scenario.js";
export { type KnownNode, View } from "./simulation/view.js";
