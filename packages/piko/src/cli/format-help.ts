// The layout of a command's help: commands and arguments first, then the flags that are needed most often, then all others by
// section.

import { type Command, Help, type Option } from "commander";

/** The flags that a new user needs, in the order of the help. */
const MOST_USED: readonly string[] = [
  "--connect.url",
  "--connect.token-file",
  "--host-header",
  "--tls.insecure-skip-verify",
  "--proxy.bind-addr",
  "--upstream.bind-addr",
  "--proxy.public-url",
  "--cluster.join",
  "--server.url",
  "--output",
  "--watch",
  "--config.path",
  "--log.level",
];

const ENVIRONMENT =
  "Each flag can also be set by an environment variable: PIKO_CONNECT_URL is --connect.url. Flags override the environment, and the environment overrides the file.";

/** The whole help, except the examples after it. */
export function formatHelp(command: Command, helper: Help): string {
  const width = helper.helpWidth ?? 80;
  const own = helper.visibleOptions(command);
  const all = [...own, ...helper.visibleGlobalOptions(command)];
  const mostUsed = all
    .filter(({ long }) => MOST_USED.includes(long ?? ""))
    .sort((a, b) => MOST_USED.indexOf(a.long ?? "") - MOST_USED.indexOf(b.long ?? ""));
  // If a command has few flags, none are singled out.
  const first = all.length > MOST_USED.length ? mostUsed : [];
  const rest = all.filter((option) => !first.includes(option));
  const groups = new Map<string, Option[]>();
  for (const option of rest) {
    const heading = option.helpGroupHeading ?? (own.includes(option) ? "Options:" : "Global Options:");
    groups.set(heading, [...(groups.get(heading) ?? []), option]);
  }
  const commands = helper.visibleCommands(command);
  const terms = [
    ...helper.visibleArguments(command).map((each) => helper.argumentTerm(each)),
    ...commands.map((each) => helper.subcommandTerm(each)),
  ];
  const termWidth = Math.max(0, ...terms.map((term) => term.length));
  const columns = (term: string, text: string): string =>
    Help.prototype.formatItem.call(helper, term, termWidth, text, helper);
  const flags = (heading: string, options: readonly Option[]): string[] =>
    section(
      heading,
      options.map((option) => flag(option, width, helper)),
    );
  const lines = [
    `Usage: ${helper.commandUsage(command)}`,
    "",
    helper.boxWrap(helper.commandDescription(command), width),
    "",
    ...section(
      "Arguments:",
      helper
        .visibleArguments(command)
        .map((each) => columns(helper.argumentTerm(each), helper.argumentDescription(each))),
    ),
    ...section(
      "Commands:",
      commands.map((each) => columns(helper.subcommandTerm(each), helper.subcommandDescription(each))),
    ),
    ...flags("Most used:", first),
    ...[...groups].flatMap(([heading, options]) => flags(heading, options)),
    ...(all.some(({ long }) => long === "--config.path") ? [helper.boxWrap(ENVIRONMENT, width), ""] : []),
  ];
  return lines.join("\n");
}

function section(heading: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : [heading, ...items, ""];
}

/** Two lines, because names of flags are too long for two columns. */
function flag(option: Option, width: number, helper: Help): string {
  const lines = helper.boxWrap(helper.optionDescription(option), Math.max(40, width - 6)).split("\n");
  return [`  ${helper.optionTerm(option)}`, ...lines.map((line) => `      ${line}`)].join("\n");
}
