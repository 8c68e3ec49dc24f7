// The manifests of deploy/kubernetes, validated without a cluster against Kubernetes' own schemas.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { perFile } from "../harness/stage.js";
import { haveGoTools } from "./harness/go-tools.js";
import { documents, problems, ROOT } from "./harness/manifests.js";

/** The part of a Deployment or StatefulSet with its containers' resource requests. */
interface WithPods {
  readonly template?: {
    readonly spec?: {
      readonly containers?: readonly {
        readonly name: string;
        readonly resources?: { readonly requests?: { readonly cpu?: string } };
      }[];
    };
  };
}

describe.runIf(haveGoTools())("the manifests", () => {
  const stage = perFile();
  let folder = "";
  beforeAll(async () => {
    folder = await stage.directory();
  });

  const files = (folderPath: string): string =>
    readdirSync(join(ROOT, folderPath))
      .filter((name) => name !== "kustomization.yaml")
      .map((name) => readFileSync(join(ROOT, folderPath, name), "utf8"))
      .join("\n---\n");

  it.each(["deploy/kubernetes", "tests/kubernetes/document"])(
    "of %s match Kubernetes' schemas",
    async (path) => {
      expect(await problems(files(path), folder)).toBe("");
    },
  );

  it("are all in the kustomization, except the agent's example", () => {
    const kustomization = readFileSync(join(ROOT, "deploy/kubernetes/kustomization.yaml"), "utf8");
    const [listed] = documents(kustomization) as unknown as readonly { resources: readonly string[] }[];
    const present = readdirSync(join(ROOT, "deploy/kubernetes"));
    expect([...(listed?.resources ?? []), "agent.yaml", "kustomization.yaml"].sort()).toEqual(present.sort());
  });

  it("request CPU for each of our programs: without it, one would stand still on a busy machine", () => {
    const asked = documents(files("deploy/kubernetes"))
      .flatMap(({ spec }) => (spec as WithPods | undefined)?.template?.spec?.containers ?? [])
      .map(({ name, resources }) => [name, resources?.requests?.cpu]);
    expect(asked).toEqual([
      ["agent", "100m"],
      ["piko", "250m"],
    ]);
  });

  it("are checked by a validator that finds mistakes", async () => {
    const wrong = files("deploy/kubernetes").replace("publishNotReadyAddresses", "publishUnreadyAddresses");
    expect(await problems(wrong, folder)).toContain("publishUnreadyAddresses");
  });
});
