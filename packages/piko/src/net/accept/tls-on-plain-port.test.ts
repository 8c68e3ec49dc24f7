import { FakeClock } from "@piko/testkit";
import { expect, it } from "vitest";
import { RecordedLog } from "../../../test/recorded-log.js";
import { TlsOnPlainPort } from "./tls-on-plain-port.js";

it("is logged once a minute, with the number of connections that weren't logged", async () => {
  const clock = new FakeClock();
  const log = new RecordedLog();
  const port = new TlsOnPlainPort(log.logger, clock);
  for (let i = 0; i < 5; i++) port.note("10.0.0.1");
  clock.advance(59_999);
  port.note("10.0.0.2");
  clock.advance(1);
  port.note("10.0.0.3");
  const said = "client uses tls, but this port doesn't";
  expect(await log.line(said, 1)).toMatchObject({ "client-ip": "10.0.0.3", unsaid: 5 });
  expect(log.find(said)).toHaveLength(2);
});
