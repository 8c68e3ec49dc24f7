// A client joined to a tunnel, as a table: what both sides receive for each event in each state.

import { expect, it } from "vitest";
import { type Kind, type TcpRig } from "../../../test/tcp-rig.js";
import { tcpRigs } from "../../../test/tcp-rigs.js";

const { join } = tcpRigs();

/** The events. */
const EVENTS: Readonly<Record<string, (rig: TcpRig) => void>> = {
  "the client sends": (rig) => rig.clientSends("up"),
  "the client ends": (rig) => rig.clientEnds(),
  "the client resets": (rig) => rig.clientResets(),
  "the service sends": (rig) => rig.serviceSends("down"),
  "the service ends": (rig) => rig.serviceEnds(),
  "the service resets": (rig) => rig.serviceResets(),
  "10 s pass, the client sends": (rig) => {
    rig.node.clock.advance(10_000);
    rig.clientSends("up");
  },
  "10 s pass, the service sends": (rig) => {
    rig.node.clock.advance(10_000);
    rig.serviceSends("down");
  },
};

/** The states, as the events that have led to them. */
const STATES: Readonly<Record<string, readonly string[]>> = {
  open: [],
  "client ended": ["the client ends"],
  "service ended": ["the service ends"],
};

interface Row {
  readonly client: Kind;
  readonly agent: Kind;
  readonly state: keyof typeof STATES;
  /** What the two sides receive, by event. */
  readonly observed: Readonly<Record<string, string>>;
}

const ROWS: readonly Row[] = [
  {
    client: "ours",
    agent: "ours",
    state: "open",
    observed: {
      "the client sends": "service: up",
      "the client ends": "service: end",
      "the client resets": "service: reset, over",
      "the service sends": "client: down",
      "the service ends": "client: close 1000",
      "the service resets": "client: close 1011, client: close, over",
      "10 s pass, the client sends": "service: up",
      "10 s pass, the service sends": "client: down",
    },
  },
  {
    client: "ours",
    agent: "ours",
    state: "client ended",
    observed: {
      "the client resets": "service: reset, over",
      "the service sends": "client: down",
      "the service ends": "client: close 1000, client: close, over",
      "the service resets": "client: close 1011, client: close, over",
      "10 s pass, the service sends": "client: down",
    },
  },
  {
    client: "ours",
    agent: "ours",
    state: "service ended",
    observed: {
      "the client sends": "service: up",
      "the client ends": "service: end, client: close, over",
      "the client resets": "service: reset, over",
      // The client has received a Close; the end of TCP before its own Close is a cut.
      "the service resets": "client: close, over",
      "10 s pass, the client sends": "service: up",
    },
  },
  {
    client: "Go",
    agent: "ours",
    state: "open",
    observed: {
      "the client sends": "service: up",
      "the client ends": "service: end, client: destroy",
      "the client resets": "service: reset, over",
      "the service sends": "client: down",
      "the service ends": "client: close 1000",
      "the service resets": "client: close 1011, client: close, over",
    },
  },
  {
    client: "Go",
    agent: "ours",
    state: "client ended",
    observed: {
      "the service sends": "",
      "the service ends": "over",
      "the service resets": "over",
      "10 s pass, the service sends": "service: reset, over",
    },
  },
  {
    client: "Go",
    agent: "ours",
    state: "service ended",
    observed: {
      "the client sends": "service: up",
      "the client ends": "service: end, client: destroy, over",
      "the client resets": "service: reset, over",
      "10 s pass, the client sends": "service: up",
    },
  },
  {
    client: "ours",
    agent: "Go",
    state: "open",
    observed: {
      "the client sends": "service: up",
      "the client ends": "service: end",
      "the client resets": "service: reset, over",
      "the service sends": "client: down",
      "the service ends": "service: end, client: close 1000",
      "the service resets": "client: close 1011, client: close, over",
    },
  },
  {
    client: "ours",
    agent: "Go",
    state: "client ended",
    observed: {
      "the client resets": "service: reset, over",
      "the service sends": "client: down",
      "the service ends": "service: end, client: close 1000, client: close, over",
      "the service resets": "client: close 1011, client: close, over",
    },
  },
  {
    client: "ours",
    agent: "Go",
    state: "service ended",
    observed: {
      "the client sends": "",
      "the client ends": "client: close, over",
      "the client resets": "over",
      "10 s pass, the client sends": "client: reset, over",
    },
  },
  {
    client: "Go",
    agent: "Go",
    state: "open",
    observed: {
      "the client ends": "service: end, client: destroy",
      "the service ends": "service: end, client: close 1000",
    },
  },
  {
    client: "Go",
    agent: "Go",
    state: "client ended",
    observed: {
      "the service sends": "",
      "the service ends": "service: end, over",
      "10 s pass, the service sends": "service: reset, over",
    },
  },
  {
    client: "Go",
    agent: "Go",
    state: "service ended",
    observed: {
      "the client sends": "",
      "the client ends": "client: destroy, over",
      "10 s pass, the client sends": "client: reset, over",
    },
  },
];

const CASES = ROWS.flatMap(({ observed, ...row }) =>
  Object.entries(observed).map(([event, expected]) => ({ ...row, event, expected })),
);

it.each(CASES)(
  "a client ($client) and an agent ($agent), $state: when $event",
  ({ client, agent, state, event, expected }) => {
    const rig = join({ client, agent });
    for (const before of STATES[state] ?? []) EVENTS[before]?.(rig);
    rig.observed();
    EVENTS[event]?.(rig);
    expect(rig.observed()).toBe(expected);
  },
);
