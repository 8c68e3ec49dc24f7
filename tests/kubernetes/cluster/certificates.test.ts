// The chart with TLS on the ports for clients and agents. Its Secret is replaced by a renewed certificate under load: no
// request fails, no stream ends, and nothing is restarted.

import { readFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import { CertificateWorkshop, type KeyPair } from "@piko/testkit";
import { beforeAll, describe, expect, it } from "vitest";
import { eventually } from "../../harness/deadline.js";
import { perFile } from "../../harness/stage.js";
import { Charts } from "../harness/charts.js";
import { NodePods } from "../harness/cluster.js";
import { haveCluster } from "../harness/environment.js";
import { haveGoTools } from "../harness/go-tools.js";
import { listMachines } from "../harness/machines.js";
import { Namespace } from "../harness/namespace.js";
import { Load, startTraffic } from "../harness/traffic.js";

const RATE = 300;
const STREAMS = 4;
/** The name by which nodes verify each other; the certificate also has the names of the Services. */
const NAME = "piko.test";
const NAMES = `DNS:${NAME},DNS:piko-clients,DNS:piko-agents`;
/** The kubelet updates a mounted Secret within its sync period of a minute, plus a margin. */
const SYNC_MS = 180_000;
/** Prints the serial number of the certificate that a port presents. */
const SHOW = `
  const socket = require("node:tls").connect({ host: process.argv[1], port: 8000, rejectUnauthorized: false });
  socket.on("secureConnect", () => {
    console.log(socket.getPeerCertificate().serialNumber);
    socket.destroy();
  });
`;

describe.runIf(haveCluster() && haveGoTools())("the chart with TLS", () => {
  const stage = perFile();
  let workshop: CertificateWorkshop;
  let ca: KeyPair;
  let namespace: Namespace;
  let nodes: NodePods;

  beforeAll(async () => {
    workshop = new CertificateWorkshop();
    stage.defer(() => workshop[Symbol.dispose]());
    ca = workshop.authority("ca");
    namespace = await Namespace.create(stage, "restricted");
    nodes = new NodePods(namespace, "app.kubernetes.io/name=piko");
  });

  const putSecret = async ({ cert, key }: KeyPair): Promise<void> => {
    const files = { "tls.crt": cert, "tls.key": key, "ca.crt": ca.cert };
    const data = Object.entries(files).map(([name, path]) => [name, readFileSync(path, "base64")]);
    await namespace.apply(
      JSON.stringify({
        apiVersion: "v1",
        kind: "Secret",
        type: "kubernetes.io/tls",
        metadata: { name: "piko-tls" },
        data: Object.fromEntries(data),
      }),
    );
  };

  /** How often a pod has logged that it read its certificates again. */
  const countReloads = async (pod: string): Promise<number> =>
    (await namespace.kubectl(["logs", pod])).split("certificates read again").length - 1;

  it("uses a renewed certificate from its Secret without losing a request or a stream", async () => {
    await putSecret(workshop.sign(ca, "first", { names: NAMES }));
    const tls = `tls.secretName=piko-tls,tls.mode=required,tls.serverName=${NAME},tls.ca=ca.crt`;
    await new Charts(namespace).release("piko", "piko", "install", "--set", tls);
    await nodes.untilOneCluster(3);
    const [machine = ""] = await listMachines();
    const authority = readFileSync(ca.cert, "utf8");
    await startTraffic(namespace, {
      ...{ upstreamUrl: "https://piko-agents:8001", agents: 2 },
      ...{ machine, authority },
    });
    const pods = await nodes.list();
    const load = await Load.start(namespace, "https://piko-clients:8000", { rate: RATE, streams: STREAMS });

    const renewed = workshop.sign(ca, "renewed", { names: NAMES });
    const startMs = performance.now();
    await putSecret(renewed);
    for (const { metadata } of pods) {
      // Once for each of the two ports with TLS.
      await eventually(
        async () => (await countReloads(metadata.name)) === 2,
        "certificates read again",
        SYNC_MS,
      );
    }
    process.stderr.write(`read again by all after ${Math.round((performance.now() - startMs) / 1_000)} s\n`);
    const { serialNumber } = new X509Certificate(readFileSync(renewed.cert));
    for (const { status } of pods) {
      const show = ["exec", "load", "--", "node", "--eval", SHOW, status.podIP ?? ""];
      expect((await namespace.kubectl(show)).trim()).toBe(serialNumber);
    }
    await load.flow(5);
    const sum = await load.stop();
    process.stderr.write(`${JSON.stringify(sum)}\n`);
    expect(sum).toMatchObject({
      ...{ failed: { GET: 0, POST: 0 }, failures: [] },
      streams: { open: STREAMS, ended: 0 },
    });
    expect(sum.succeeded).toBe(sum.sent);
    const after = (await nodes.list()).map(({ metadata, status }) => [
      metadata.uid,
      status.containerStatuses?.[0]?.restartCount,
    ]);
    expect(after).toEqual(pods.map(({ metadata }) => [metadata.uid, 0]));
  });
});
