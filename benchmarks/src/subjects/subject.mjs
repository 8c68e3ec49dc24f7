// Defines a subject: one or more programs that forward requests to the backend. This file lists all subjects.
// @ts-check

import { haproxy, haproxyTcp } from "./haproxy.mjs";
import { nginx } from "./nginx.mjs";
import { nodeHttp } from "./node-http.mjs";
import { piko, pikoAgainst } from "./piko.mjs";
import { pikoTcp } from "./piko-tcp.mjs";
import { undici } from "./undici.mjs";

/**
 * @typedef {object} SubjectContext
 * @property {import("../workbench.mjs").Workbench} bench
 * @property {number} backendPort
 * @property {number} [echoPort] of the service that echoes TCP data
 * @property {number} [grpcPort] of the service that echoes gRPC messages
 * @property {import("../options.mjs").Options} options
 *
 * @typedef {object} RunningSubject
 * @property {string} origin target of the load
 * @property {readonly { role: string, program: import("../workbench.mjs").Program }[]} parts
 *
 * @typedef {object} Subject
 * @property {string} name
 * @property {string} title
 * @property {boolean} compiles at run time, so that it needs a warm-up before it is measured
 * @property {(kind: import("./../cases.mjs").Case["kind"]) => boolean} takes whether it accepts this kind of load
 * @property {(options: import("../options.mjs").Options) => string | undefined} findObstacle the reason why it can't run here
 * @property {(context: SubjectContext) => Promise<RunningSubject>} start
 */

/** @type {readonly Subject[]} */
const SUBJECTS = [nginx, haproxy, nodeHttp, undici, piko, haproxyTcp, pikoTcp];

/**
 * The subjects that a run may include.
 * @param {import("../options.mjs").Options} options
 */
export function knownSubjects(options) {
  return options.againstFile === undefined ? SUBJECTS : [...SUBJECTS, pikoAgainst];
}
