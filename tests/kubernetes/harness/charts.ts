// The Helm charts, installed in a namespace with the image under test.

import { fileURLToPath } from "node:url";
import { IMAGE } from "./environment.js";
import { helm } from "./kubectl.js";
import type { Namespace } from "./namespace.js";

const CHARTS = fileURLToPath(new URL("../../../deploy/helm/", import.meta.url));

export class Charts {
  readonly #namespace: Namespace;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  /** Runs a Helm command in the namespace, and waits until its changes are ready. */
  helm(...args: readonly string[]): Promise<string> {
    return helm([...args, "--namespace", this.#namespace.name, "--wait", "--timeout", "4m"], { ms: 250_000 });
  }

  /** Installs or upgrades one of the charts as the release of this name; returns Helm's output. */
  release(
    chart: "piko" | "piko-agent",
    name: string,
    command: "install" | "upgrade",
    ...args: readonly string[]
  ): Promise<string> {
    const colon = IMAGE.lastIndexOf(":");
    const image = `image.repository=${IMAGE.slice(0, colon)},image.tag=${IMAGE.slice(colon + 1)}`;
    return this.helm(command, name, `${CHARTS}${chart}`, "--set", image, ...args);
  }
}
