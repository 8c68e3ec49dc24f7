// deploy/compose/compose.yaml without a container engine: each service gets a host of a lab with the service's name, and
// runs the command of its image with the files that it would see in its container.

import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "yaml";
import { ROOT } from "../docs/fences.js";
import type { NameServer } from "../harness/name-server.js";
import type { LabHost, NetworkLab } from "../harness/network-lab.js";

const FOLDER = join(ROOT, "deploy/compose");

export interface ComposeService {
  readonly image: string;
  readonly command?: readonly string[];
  readonly volumes?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
}

export interface ComposeFile {
  readonly name: string;
  readonly services: Readonly<Record<string, ComposeService>>;
}

export const composeText = (): string => readFileSync(join(FOLDER, "compose.yaml"), "utf8");

export const readCompose = (): ComposeFile => parse(composeText(), { merge: true }) as ComposeFile;

/** Files of the repository that a service mounts, by their path in its container; without volumes for data. */
export function filesOf({ volumes = [] }: ComposeService): ReadonlyMap<string, string> {
  return new Map(
    volumes
      .map((each) => each.split(":"))
      .filter(([source = ""]) => source.startsWith("."))
      .map(([source = "", target = ""]) => [target, join(FOLDER, source)]),
  );
}

/** The services of the Compose file, each on hosts of its own. */
export class ComposeLab {
  readonly #compose = readCompose();
  readonly #lab: NetworkLab;
  readonly #names: NameServer;
  readonly #directory: string;
  readonly #hosts = new Map<string, LabHost[]>();

  constructor(lab: NetworkLab, names: NameServer, directory: string) {
    this.#lab = lab;
    this.#names = names;
    this.#directory = directory;
  }

  /** Adds a host for a service, which the others find under the service's name; a service with several hosts has replicas. */
  async host(service: string): Promise<LabHost> {
    const host = await this.#lab.host("ipv4");
    await this.#names.serve(host);
    this.#hosts.set(service, [...(this.#hosts.get(service) ?? []), host]);
    const records = [...this.#hosts].map(([name, hosts]) => [name, hosts.map(({ ipv4 }) => ipv4)] as const);
    await this.#names.set(Object.fromEntries(records));
    return host;
  }

  /** The service's command, with the paths of its own copies of the mounted files; `change` may edit their text. */
  command(service: string, change: (text: string, path: string) => string = (text) => text): string[] {
    const declared = this.#compose.services[service];
    if (declared?.command === undefined) throw new Error(`${service} has no command`);
    const root = join(this.#directory, service);
    mkdirSync(root, { recursive: true });
    const paths = new Map<string, string>();
    for (const [target, source] of filesOf(declared)) {
      mkdirSync(dirname(join(root, target)), { recursive: true });
      cpSync(source, join(root, target));
      writeFileSync(join(root, target), change(readFileSync(source, "utf8"), target));
      paths.set(target, join(root, target));
    }
    return declared.command.map((argument) =>
      [...paths].reduce((text, [target, path]) => text.replace(target, path), argument),
    );
  }
}
