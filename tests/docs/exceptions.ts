// Everything in the documents that the tests in this folder don't run as written, with the reason for each exception.

/** Documents that another test follows, or that contain nothing to run. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  "CONTRIBUTING.md": "is about the tests themselves: .ci/run runs its commands",
  "deploy/helm/piko/README.md": "tests/kubernetes/documents.test.ts gives its values and commands to Helm",
  "deploy/helm/piko-agent/README.md":
    "tests/kubernetes/agent-chart.test.ts gives its values, commands and sidecar to Helm and to Kubernetes' schemas",
  "docs/guides/cluster.md": "tests/cluster/guide-cluster.test.ts, on three hosts",
  "docs/guides/monitoring.md":
    "tests/monitoring: its settings are given to promtool, and the Compose file is started without containers",
  "docs/guides/kubernetes.md": "tests/kubernetes/documents.test.ts, as far as that needs no cluster",
  "docs/guides/load-balancers.md": "tests/docs/load-balancers.test.ts, with each program",
  "packages/client/README.md": "packages/client/src/readme.test.ts",
  "packages/tunnel/README.md":
    "a sketch of a library whose tests are its own; there is nothing around it to run",
};

/** Commands, or the beginnings of commands, that are not run. */
export const NOT_RUN: readonly { document: string; command: string; reason: string }[] = [
  { document: "README.md", command: "git clone ", reason: "this is the clone" },
  { document: "README.md", command: "cd piko", reason: "this is the clone" },
  { document: "README.md", command: "npm run demo", reason: ".ci/run runs it, after the checks" },
  {
    document: "docs/guides/quickstart.md",
    command: "npm ci ",
    reason: "a test that is running has it behind it",
  },
  {
    document: "docs/guides/quickstart.md",
    command: "npm run build",
    reason: "a test that is running has it behind it",
  },
  {
    document: "docs/guides/gossip-keys.md",
    command: "kubectl create ",
    reason: "needs a cluster",
  },
  {
    document: "docs/guides/streaming.md",
    command: "npx wscat ",
    reason: "fetches a program from the registry",
  },
];

/** Parts of commands that are changed: `from` becomes `to`. */
export const CHANGED: readonly { document: string; from: string; to: string; reason: string }[] = [
  {
    document: "docs/guides/quickstart.md",
    from: "http://piko.example.com:8001",
    to: "http://localhost:8001",
    reason: "a server elsewhere",
  },
  {
    document: "docs/guides/operating.md",
    from: "--requests 20000",
    to: "--requests 500",
    reason: "proves as much, and leaves the machine to others",
  },
  {
    document: "docs/guides/operating.md",
    from: "http://piko.example.com:8000 --connect.upstream-url http://piko.example.com:8001",
    to: "http://localhost:8000 --connect.upstream-url http://localhost:8001",
    reason: "a server elsewhere",
  },
  {
    document: "docs/guides/streaming.md",
    from: "curl -N -H 'x-piko-endpoint: my-endpoint' http://localhost:8000/events",
    to: "curl -iN --max-time 2 -H 'x-piko-endpoint: my-endpoint' http://localhost:8000/events || test $? = 28",
    reason: "has no end",
  },
  {
    document: "docs/guides/streaming.md",
    from: "npm install ws && ",
    to: "",
    reason: "it is installed, and the registry needn't be asked",
  },
  ...[
    "piko server status cluster nodes --forward node-2 --watch",
    "piko server status upstream endpoints --watch",
    "piko server status upstream doubtful --watch",
  ].map((from) => ({
    document: "docs/reference/cli.md",
    from,
    to: `timeout 2 ${from} || test $? = 124`,
    reason: "has no end",
  })),
  {
    document: "docs/reference/cli.md",
    from: "http://10.0.0.7:8002",
    to: "http://10.0.0.1:8002",
    reason: "a server elsewhere",
  },
  ...["http://app.internal:8080/base", "db.internal:5432"].map((from) => ({
    document: "docs/reference/cli.md",
    from,
    to: "localhost:3000",
    reason: "a service elsewhere",
  })),
  {
    document: "docs/reference/cli.md",
    from: "https://upstream.example.com",
    to: "http://localhost:8001",
    reason: "a server elsewhere",
  },
  {
    document: "docs/reference/cli.md",
    from: "https://proxy.example.com",
    to: "http://localhost:8000",
    reason: "a server elsewhere",
  },
  {
    document: "docs/reference/cli.md",
    from: "piko bench http",
    to: "piko bench http --requests 500",
    reason: "proves as much, and leaves the machine to others",
  },
  {
    document: "docs/reference/cli.md",
    from: "--requests 10000",
    to: "--requests 200",
    reason: "proves as much, and leaves the machine to others",
  },
];

/** What a command must print in the end, if exiting successfully isn't enough. */
export const PRINTED: readonly { document: string; command: string; text: string }[] = [
  {
    document: "docs/guides/security.md",
    command: "curl -H 'x-piko-endpoint: my-endpoint' http://localhost:8000/",
    text: '{"error":"missing authorization"}',
  },
  { document: "docs/guides/streaming.md", command: "/events", text: "Content-Type: text/event-stream" },
  { document: "docs/guides/streaming.md", command: "sleep 12", text: '{"error":"request timeout",' },
  { document: "docs/guides/streaming.md", command: "/slow", text: '{"error":"upstream timeout",' },
];

/** Blocks that show something that isn't run, by their beginning. `compared`: it is exactly what the command before it prints. */
export const SAMPLES: readonly { document: string; begins: string; compared?: true }[] = [
  { document: "README.md", begins: " client ── HTTP" },
  { document: "docs/architecture.md", begins: " packages/piko " },
  { document: "docs/architecture.md", begins: "             node " },
  { document: "docs/architecture.md", begins: "            ClientSide " },
  { document: "docs/guides/quickstart.md", begins: "Node sywyui8 is running." },
  { document: "docs/guides/quickstart.md", begins: '{"my-endpoint":1}', compared: true },
  { document: "docs/guides/agent.md", begins: "https://my-endpoint.piko.example.com -> " },
  { document: "docs/guides/forward-tcp.md", begins: "PONG", compared: true },
  { document: "docs/guides/operating.md", begins: '{"level":"info"' },
  { document: "docs/guides/operating.md", begins: '{"level":"warn"' },
  { document: "docs/guides/operating.md", begins: "/var/log/piko/access.log {" },
  { document: "docs/guides/operating.md", begins: "Throughput: " },
  { document: "docs/guides/security.md", begins: '{"error":"missing authorization"}', compared: true },
  { document: "docs/guides/streaming.md", begins: '{"error":"upstream timeout",', compared: true },
  { document: "docs/reference/cli.md", begins: "piko " },
];
