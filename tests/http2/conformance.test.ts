// h2spec in strict mode, on a port with TLS and on a plain one, with a service behind the tunnel that answers.

import { CertificateWorkshop } from "@piko/testkit";
import { afterAll, describe, expect, it } from "vitest";
import { haveH2spec, installH2spec, runH2spec } from "../harness/h2spec.js";
import { startTunnel } from "../harness/piko.js";
import { Service } from "../harness/service.js";
import { perTest } from "../harness/stage.js";
import { haveTools } from "../harness/tools.js";

const scene = perTest();
const workshop = new CertificateWorkshop();
afterAll(() => workshop[Symbol.dispose]());

const portOf = (address: string): string => address.split(":").at(-1) ?? "";

describe.runIf(haveH2spec && haveTools("unshare"))("h2spec --strict", () => {
  it("passes on a port with TLS", async (context) => {
    const h2spec = (await installH2spec()) ?? context.skip("no h2spec");
    const { cert, key } = workshop.sign(workshop.authority("ca"), "server", { names: "DNS:web.piko.test" });
    const service = await Service.start(scene);
    const tls = { "proxy.tls.cert": cert, "proxy.tls.key": key };
    const { server } = await startTunnel(scene, service.addr, tls);
    const args = ["--tls", "--insecure"];
    const { failed, passed, report } = await runH2spec(
      scene,
      h2spec,
      "web.piko.test",
      portOf(server.proxy),
      args,
    );
    expect(failed, report).toEqual([]);
    expect(passed).toBe(146);
    expect(service.requests.length).toBeGreaterThan(20);
  });

  it("passes on a plain port, where anything that doesn't begin with the preface is HTTP/1.1", async (context) => {
    const h2spec = (await installH2spec()) ?? context.skip("no h2spec");
    const service = await Service.start(scene);
    const { server } = await startTunnel(scene, service.addr);
    const { failed, passed, report } = await runH2spec(scene, h2spec, "web.piko.test", portOf(server.proxy));
    // After the settings that it waits for, it receives the 400 of HTTP/1.1, and takes that for a frame.
    expect(failed, report).toEqual(["2: Sends invalid connection preface"]);
    expect(passed).toBe(145);
  });
});
