// Mutual TLS between Go's libraries and ours: agents, forwarders, servers, and the nodes of one cluster.

import { describe, expect, it } from "vitest";
import { startCluster } from "../harness/cluster.js";
import { eventually } from "../harness/deadline.js";
import {
  haveGo,
  goEchoCheck,
  startGoAgent,
  startGoForward,
  startGoNode,
  startGoServer,
} from "../harness/go-peer.js";
import { curlTls, goTlsFlags, MutualTls, tlsFlags } from "../harness/mutual-tls.js";
import { startAgent, startForward, startServer } from "../harness/piko.js";
import { startEchoService } from "../harness/raw-service.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";

const scene = perTest();
const MIB = 1024 * 1024;

/** The body of a response over mutual TLS, or curl's error message if there is none. */
async function ask(tls: MutualTls, proxy: string, endpoint: string, path = "/item?i=1"): Promise<string> {
  const args = [...curlTls(tls.client), "-H", `x-piko-endpoint: ${endpoint}`, `https://${proxy}${path}`];
  const { stderr, stdout } = await run("curl", args);
  return stdout + stderr;
}

async function fetchText(url: string): Promise<string> {
  return (await fetch(url)).text();
}

describe.skipIf(!haveGo)("over mutual TLS", () => {
  it("a Go agent and a Go forwarder work with our server", async () => {
    const tls = new MutualTls(scene);
    const service = await Service.start(scene);
    const server = await startServer(scene, tls.flags(["proxy", "upstream"]));
    const flags = goTlsFlags(tls.client);
    const upstream = `https://${server.upstream}`;
    await startGoAgent(scene, upstream, "web", service.addr, flags);
    await startGoAgent(scene, upstream, "raw", service.addr, [...flags, "--mode", "tcp"]);
    expect(await ask(tls, server.proxy, "web")).toBe("item 1");
    const addr = await startGoForward(scene, `https://${server.proxy}`, "raw", flags);
    expect(await fetchText(`http://${addr}/item?i=2`)).toBe("item 2");
  });

  it("our agent and our forwarder work with a Go server", async () => {
    const tls = new MutualTls(scene);
    const service = await Service.start(scene);
    const server = await startGoServer(scene, goTlsFlags({ ...tls.server, cas: tls.ca.cert }));
    const flags = tlsFlags("connect", tls.client);
    const upstream = `https://${server.upstream}`;
    await startAgent(scene, upstream, "web", service.addr, { flags });
    await startAgent(scene, upstream, "raw", service.addr, { flags, mode: "tcp" });
    expect(await ask(tls, server.proxy, "web")).toBe("item 1");
    const { addr } = await startForward(scene, `https://${server.proxy}`, "raw", flags);
    expect(await fetchText(`http://${addr}/item?i=2`)).toBe("item 2");
  });

  it("64 MiB arrive whole, back and forth, through our agent and through Go's", async () => {
    const tls = new MutualTls(scene);
    const server = await startServer(scene, tls.flags(["proxy", "upstream"]));
    const { addr } = await startEchoService(scene);
    const flags = tlsFlags("connect", tls.client);
    const connect = { flags, mode: "tcp" } as const;
    await startAgent(scene, `https://${server.upstream}`, "ours", addr, connect);
    const go = [...goTlsFlags(tls.client), "--mode", "tcp"];
    await startGoAgent(scene, `https://${server.upstream}`, "go", addr, go);
    for (const endpoint of ["ours", "go"])
      await goEchoCheck(`https://${server.proxy}`, endpoint, 64 * MIB, goTlsFlags(tls.client));
  });

  it("Go nodes and ours form one cluster: each forwards to the other over TLS", async () => {
    const tls = new MutualTls(scene);
    const service = await Service.start(scene);
    const [ours] = await startCluster(scene, ["a"], tls.flags(["proxy", "upstream"]));
    const flags = tlsFlags("connect", tls.client);
    await startAgent(scene, `https://${ours.upstream}`, "here", service.addr, { flags });
    // A Go node consists of two programs: its gossip, and its ports.
    const files = goTlsFlags(tls.node);
    const go = await startGoServer(scene, [...files, "--other", `https://${ours.proxy}`]);
    await startGoAgent(scene, `https://${go.upstream}`, "there", service.addr, goTlsFlags(tls.client));
    const { program } = await startGoNode(scene, "gonode");
    program.write(`upsert proxy_addr ${go.proxy}`);
    program.write("upsert admin_addr 127.0.0.1:1");
    program.write("upsert endpoint:there 1");
    program.write(`join ${ours.gossip}`);
    // A Go node doesn't announce whether its proxy port uses TLS. Go's rule applies: the same as this node's own port.
    await eventually(
      async () => (await ask(tls, ours.proxy, "there")) === "item 1",
      "an answer of the Go node",
    );
    expect(await ask(tls, go.proxy, "here")).toBe("item 1");
    const { headers } = JSON.parse(await ask(tls, go.proxy, "here", "/reflect")) as {
      headers: Record<string, string>;
    };
    expect(headers["x-forwarded-proto"]).toBe("https");
  });
});
