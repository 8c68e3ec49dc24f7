// The published packages, as used by someone who has nothing else from this repository.

import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { beforeAll, describe, expect, it } from "vitest";
import webpack from "webpack";
import { type RunningServer, startServer } from "../harness/piko.js";
import { startProgram } from "../harness/program.js";
import { perFile, perTest } from "../harness/stage.js";
import { run } from "../harness/tools.js";
import { borrow, type Folder, install, ORIGIN, packAll, PUBLISHED, ROOT, tool } from "./published.js";

const stage = perFile();
const scene = perTest();
const folders = Object.keys(PUBLISHED) as Folder[];
let tarballs: Record<Folder, string>;
/** A project for each package, with only that package installed. */
let projects: Record<Folder, string>;
let server: RunningServer;

beforeAll(async () => {
  tarballs = await packAll(stage);
  const [tunnel, client, piko] = (await Promise.all(
    folders.map((folder) => install(stage, tarballs[folder])),
  )) as [string, string, string];
  projects = { tunnel, client, piko };
  server = await startServer(stage);
});

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

function installed(folder: Folder): string {
  return join(projects[folder], "node_modules", PUBLISHED[folder]);
}

async function manifestOf(folder: Folder): Promise<Manifest> {
  return JSON.parse(await readFile(join(installed(folder), "package.json"), "utf8")) as Manifest;
}

async function filesOf(folder: Folder): Promise<string[]> {
  const entries = await readdir(installed(folder), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Waits until someone listens on the endpoint, and returns the body of a response. */
async function answerOf(endpoint: string): Promise<string> {
  const ask = (): Promise<string> =>
    fetch(`http://${server.proxy}/there`, {
      headers: { "x-piko-endpoint": endpoint, connection: "close" },
    }).then((response) => response.text());
  await expect.poll(ask, { timeout: 20_000 }).not.toContain("error");
  return await ask();
}

describe.each(folders)("packages/%s, packed", (folder) => {
  it("passes publint", async () => {
    const { code, stdout, stderr } = await run(tool("publint"), [tarballs[folder], "--strict"]);
    expect({ code, text: stdout + stderr }).toEqual({ code: 0, text: expect.stringContaining("All good!") });
  });

  it("has no dependencies", async () => {
    const { dependencies = {}, devDependencies } = await manifestOf(folder);
    expect({ dependencies, devDependencies }).toEqual({ dependencies: {} });
    for (const path of await filesOf(folder)) {
      if (!/\.(js|d\.ts)$/.test(path)) continue;
      expect((await readFile(path, "utf8")).match(/(from |import\(|require\()"@piko\/.*/)).toBeNull();
    }
  });

  it("contains its README and its code once, and nothing else from the workspace", async () => {
    expect((await readdir(installed(folder))).toSorted()).toEqual([
      "LICENSE",
      "README.md",
      "lib",
      "package.json",
    ]);
  });

  it("names its repository", async () => {
    expect(await manifestOf(folder)).toMatchObject({
      repository: { type: "git", url: `git+${ORIGIN}.git`, directory: `packages/${folder}` },
      homepage: expect.stringContaining(`${ORIGIN}/`),
      bugs: `${ORIGIN}/issues`,
      license: "MIT",
      description: expect.stringMatching(/./),
      keywords: expect.arrayContaining(["piko"]),
      publishConfig: { access: "public", provenance: true },
    });
  });

  it("contains no tests and no files of the compiler", async () => {
    expect((await filesOf(folder)).filter((path) => /\.test\.|tsbuildinfo/.test(path))).toEqual([]);
  });

  it("has a README without dead links", async () => {
    const page = await readFile(join(installed(folder), "README.md"), "utf8");
    const links = [...page.matchAll(/\]\(([^)#]+)/g)].map((match) => match[1] ?? "");
    const dead = links.filter((link) => {
      const path = link.startsWith(`${ORIGIN}/blob/HEAD/`)
        ? link.slice(`${ORIGIN}/blob/HEAD/`.length)
        : undefined;
      return path === undefined ? !link.startsWith("https:") : !existsSync(join(ROOT, path));
    });
    expect(dead).toEqual([]);
  });
});

describe.each(["tunnel", "client"] as const)("packages/%s, installed alone", (folder) => {
  it("has source maps that lead to its sources", async () => {
    const files = await filesOf(folder);
    const maps = files.filter((path) => path.endsWith(".map"));
    expect(maps.length).toBeGreaterThan(30);
    for (const path of maps) {
      const { sources } = JSON.parse(await readFile(path, "utf8")) as { sources: string[] };
      expect(sources).toHaveLength(1);
      for (const source of sources) expect(existsSync(resolve(dirname(path), source)), path).toBe(true);
    }
    const named = files.filter((path) => /\/dist\/.*\.(js|d\.ts)$/.test(path) && !/cjs.*\.js$/.test(path));
    for (const path of named)
      expect(await readFile(path, "utf8"), path).toMatch(/\n\/\/# sourceMappingURL=\S+\.map$/);
  });

  it("has declarations that match its modules, according to attw", async () => {
    const args = [tarballs[folder], "--format", "json"];
    const { code, stdout } = await run(tool("attw"), args);
    const { problems } = JSON.parse(stdout) as { problems: unknown };
    expect({ code, problems }).toEqual({ code: 0, problems: {} });
  });

  it("is one and the same through import and require()", async () => {
    const name = PUBLISHED[folder];
    const script = `const required = require("${name}");
      import("${name}").then((imported) => {
        console.log(Object.keys(imported).length > 5, Object.keys(imported).every((key) => imported[key] === required[key]));
      });`;
    await writeFile(join(projects[folder], "both.cjs"), script);
    expect(await run(process.execPath, ["both.cjs"], { cwd: projects[folder] })).toEqual({
      code: 0,
      stdout: "true true\n",
      stderr: "",
    });
  });
});

const PROGRAM = `
const url: string = process.argv[2] ?? "";
async function main(): Promise<void> {
  const options: ListenOptions = { url, token: async () => undefined };
  const listener: Listener = await serve("typed", (request, response) => response.end(request.url), options);
  listener.on("connected", ({ nodeId }) => console.log(nodeId?.toUpperCase()));
  const socket: EndpointSocket = await dial("typed", { url });
  socket.setTimeout(1_000).end("x");
  for await (const bytes of socket) console.log(bytes);
  // @ts-expect-error -- so that declarations which aren't found, and make anything right, fail
  await serve("typed", 7);
  const code: ClientErrorCode = new ClientError("PIKO_CLIENT_RESET", "x").code;
  console.log(code, new EndpointAgent("typed").endpointId.length);
  // The declarations of the DOM, which are there unless a program leaves them out, know no dispatcher.
  await fetch("http://x/", { dispatcher: new EndpointDispatcher("typed", { url }) } as RequestInit);
}
void main();
`;
const VALUES = "ClientError, dial, EndpointAgent, EndpointDispatcher, serve";
const TYPES = "ClientErrorCode, EndpointSocket, Listener, ListenOptions";

describe("the declarations of @piko/client", () => {
  /** ESM and CommonJS, by file extension; in `program.ts`, the compiler's settings alone decide. */
  const BOTH = ["program.mts", "program.cts"];

  beforeAll(async () => {
    await borrow(projects.client, "@types/node");
    const imports = `import { ${VALUES} } from "@piko/client";\nimport type { ${TYPES} } from "@piko/client";\n`;
    for (const name of [...BOTH, "program.ts"])
      await writeFile(join(projects.client, name), imports + PROGRAM);
  });

  it.each([
    ["node16", "node16", BOTH],
    ["nodenext", "nodenext", BOTH],
    ["preserve", "bundler", BOTH],
    ["esnext", "bundler", ["program.ts"]],
    ["commonjs", "bundler", ["program.ts"]],
  ])("hold under module %s, moduleResolution %s, in %j", async (module, moduleResolution, files) => {
    const compilerOptions = {
      ...{ module, moduleResolution, target: "es2023", types: ["node"], strict: true, noEmit: true },
      ...{ skipLibCheck: false, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    };
    const settings = join(projects.client, `tsconfig.${module}.json`);
    await writeFile(settings, JSON.stringify({ compilerOptions, files }));
    expect(await run(tool("tsc"), ["-p", settings])).toEqual({ code: 0, stdout: "", stderr: "" });
  });
});

const LOAD = {
  esm: 'import { serve } from "@piko/client";',
  cjs: 'const { serve } = require("@piko/client");',
};

function script(form: keyof typeof LOAD, endpoint: string): string {
  return `${LOAD[form]}\nserve("${endpoint}", (request, response) => response.end("from " + request.url), { url: process.argv[2] });`;
}

describe("a program with @piko/client", () => {
  const start = (path: string): unknown =>
    startProgram(scene, path, process.execPath, [path, `http://${server.upstream}`]);

  it.each(["esm", "cjs"] as const)("serves unbundled, as %s", async (form) => {
    const path = join(projects.client, `plain.${form === "esm" ? "mjs" : "cjs"}`);
    await writeFile(path, script(form, `plain-${form}`));
    start(path);
    expect(await answerOf(`plain-${form}`)).toBe("from /there");
  });

  it.each([
    ["esm", "esm"],
    ["cjs", "cjs"],
    ["esm", "cjs"],
  ] as const)("serves when esbuild has bundled it from %s to %s", async (from, format) => {
    const outfile = join(await scene.directory(), format === "esm" ? "bundle.mjs" : "bundle.cjs");
    const endpoint = `esbuild-${from}-${format}`;
    const stdin = { contents: script(from, endpoint), resolveDir: projects.client };
    await build({ stdin, bundle: true, platform: "node", format, outfile, logLevel: "silent" });
    start(outfile);
    expect(await answerOf(endpoint)).toBe("from /there");
  });

  it("serves when webpack has bundled it, from esm and from cjs", async () => {
    const forms = ["esm", "cjs"] as const;
    const entry: Record<string, string> = {};
    for (const form of forms) {
      entry[form] = join(projects.client, `webpack.${form === "esm" ? "mjs" : "cjs"}`);
      await writeFile(entry[form], script(form, `webpack-${form}`));
    }
    const output = { path: await scene.directory(), filename: "[name].cjs" };
    const options = { entry, output, target: "node20", mode: "production" } as const;
    const problems = await new Promise((done, fail) => {
      webpack(options, (error, stats) => {
        if (error) fail(error);
        else done([...(stats?.compilation.errors ?? []), ...(stats?.compilation.warnings ?? [])].map(String));
      });
    });
    expect(problems).toEqual([]);
    for (const form of forms) {
      start(join(output.path, `${form}.cjs`));
      expect(await answerOf(`webpack-${form}`)).toBe("from /there");
    }
  });

  it("has stack traces that point to its sources", async () => {
    const path = join(projects.client, "fails.mjs");
    await writeFile(
      path,
      'import { dial } from "@piko/client";\ndial("a/b").catch((e) => console.log(e.stack));',
    );
    const { stdout } = await run(process.execPath, ["--enable-source-maps", path]);
    expect(stdout).toMatch(/lib\/client\/src\/server-address\.ts:\d+:\d+/);
  });
});

describe("the command, installed alone", () => {
  const command = (): string => join(projects.piko, "node_modules", ".bin", "piko");

  it("has the licenses of everything that it contains", async () => {
    const text = await readFile(
      join(installed("piko"), "lib", "piko", "dist", "bundle", "LICENSES.txt"),
      "utf8",
    );
    for (const name of ["commander", "jose", "yaml", "zod"])
      expect(text).toMatch(new RegExp(`^${name} \\d`, "m"));
  });

  it("prints its version", async () => {
    const { version } = await manifestOf("piko");
    const { stdout } = await run(process.execPath, [command(), "--version"]);
    expect(stdout).toBe(`piko version ${String(version)}\n`);
  });

  it("forwards requests to a program with the SDK", async () => {
    const path = join(projects.client, "listens.mjs");
    await writeFile(path, script("esm", "own-server"));
    const ports = ["proxy", "upstream", "admin", "cluster.gossip"].map(
      (port) => `--${port}.bind-addr=127.0.0.1:0`,
    );
    const args = [command(), "server", ...ports, "--drain-delay=0s", "--log.format=json"];
    const own = startProgram(scene, "server", process.execPath, args, { stopCode: 0 });
    const { fields } = await own.waitFor("server started");
    startProgram(scene, "listens", process.execPath, [path, `http://${String(fields["upstream"])}`]);
    const ask = async (): Promise<string> => {
      const headers = { "x-piko-endpoint": "own-server", connection: "close" };
      return await (await fetch(`http://${String(fields["proxy"])}/x`, { headers })).text();
    };
    await expect.poll(ask, { timeout: 20_000 }).toBe("from /x");
  });
});
