import { FakeClock } from "@piko/testkit";
import { expect, it } from "vitest";
import { TIMED_PING_ID } from "./ping-ids.js";
import { RoundTrip } from "./round-trip.js";

it("times one ping at a time, and accepts only its own answer", () => {
  const clock = new FakeClock();
  const sent: number[] = [];
  const trip = new RoundTrip(clock, (id) => sent.push(id));
  expect(trip.ms).toBeUndefined();
  trip.time();
  clock.advance(20);
  trip.time();
  expect(sent).toEqual([TIMED_PING_ID]);
  trip.onPong(0);
  expect(trip.ms).toBeUndefined();
  clock.advance(5);
  trip.onPong(TIMED_PING_ID);
  expect(trip.ms).toBe(25);
  clock.advance(100);
  trip.onPong(TIMED_PING_ID);
  expect(trip.ms).toBe(25);
  trip.time();
  clock.advance(7);
  trip.onPong(TIMED_PING_ID);
  expect(trip.ms).toBe(7);
  expect(sent).toHaveLength(2);
});
