// What a subject is: a program, or several, that brings requests to the backend. This file is the list of them.
// @ts-check

import { haproxy } from "./haproxy.mjs";
import { nginx } from "./nginx.mjs";
import { nodeHttp } from "./node-http.mjs";
import { piko } from "./piko.mjs";

/**
 * @typedef {object} SubjectContext
 * @property {import("../workbench.mjs").Workbench} bench
 * @property {number} backendPort
 * @property {import("../options.mjs").Options} options
 *
 * @typedef {object} RunningSubject
 * @property {string} origin where the load goes
 * @property {readonly { role: string, program: import("../workbench.mjs").Program }[]} parts
 *
 * @typedef {object} Subject
 * @property {string} name
 * @property {string} title
 * @property {(options: import("../options.mjs").Options) => string | undefined} findObstacle why it can't run here
 * @property {(context: SubjectContext) => Promise<RunningSubject>} start
 */

/** @type {readonly Subject[]} */
export const SUBJECTS = [nginx, haproxy, nodeHttp, piko];
