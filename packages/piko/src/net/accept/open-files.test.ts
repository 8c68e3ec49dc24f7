import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { expect, it } from "vitest";
import { OpenFiles } from "./open-files.js";

function socketOf(fd: number | undefined): Socket {
  return { _handle: fd === undefined ? null : { fd } } as unknown as Socket;
}

it.each([
  // An eighth, but at least 64 and at most 1,024. In its last quarter, sockets can only be closed.
  [256, 192, 240],
  [1_024, 896, 992],
  [1_048_576, 1_047_552, 1_048_320],
])("keeps part of a limit of %i in reserve", (limit, short, out) => {
  const files = new OpenFiles(limit);
  expect(files.isShort(socketOf(short - 1))).toBe(false);
  expect(files.isShort(socketOf(short))).toBe(true);
  expect(files.isExhausted(socketOf(out - 1))).toBe(false);
  expect(files.isExhausted(socketOf(out))).toBe(true);
});

it("is never short if numbers or the limit are unknown", () => {
  expect(new OpenFiles(100).isShort(socketOf(undefined))).toBe(false);
  expect(new OpenFiles(Number.POSITIVE_INFINITY).isShort(socketOf(1e6))).toBe(false);
  expect(new OpenFiles(Number.POSITIVE_INFINITY).wouldBeExhausted()).toBe(false);
});

it.runIf(process.platform === "linux")(
  "knows the number of an accepted socket, and the limit of the process",
  async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
    const [accepted] = (await once(server, "connection")) as [Socket];
    expect(new OpenFiles(3).isExhausted(accepted)).toBe(true);
    expect(new OpenFiles().isShort(accepted)).toBe(false);
    expect(new OpenFiles(3).wouldBeExhausted()).toBe(true);
    expect(new OpenFiles().wouldBeExhausted()).toBe(false);
    client.destroy();
    accepted.destroy();
    server.close();
  },
);
