// Scripts for completion in shells: each has a table of the words that may follow a command, and finds the command in what was
// typed.

import { type Command, Help } from "commander";

/** A word that may come next. `what` describes it. */
export interface CompletionWord {
  readonly word: string;
  readonly what: string;
  /** Whether it is a flag with a value: the next word is then not a word of the command. */
  readonly takesValue: boolean;
}

/** A command by its names (`agent http`; empty for piko itself), and the words that may follow it. */
export interface CompletedCommand {
  readonly path: string;
  readonly words: readonly CompletionWord[];
}

/** Maximum length of a description; a longer one would wrap. */
const MAX_WHAT = 60;

/** `command` and all its subcommands, itself first. */
export function listWords(command: Command, path = ""): readonly CompletedCommand[] {
  const help = command.createHelp();
  const options = [...new Help().visibleOptions(command), ...help.visibleGlobalOptions(command)];
  const words = [
    ...command.commands.map((child) => word(child.name(), child.summary(), false)),
    ...options.flatMap(({ description, long, required }) =>
      long === undefined || long === null ? [] : [word(long, description, required)],
    ),
  ];
  const below = command.commands.flatMap((child) => listWords(child, `${path} ${child.name()}`.trim()));
  return [{ path, words }, ...below];
}

function word(name: string, description: string, takesValue: boolean): CompletionWord {
  const [sentence = ""] = description.split(/(?<=[.:;])\s/, 1);
  const short = sentence.length > MAX_WHAT ? `${sentence.slice(0, MAX_WHAT - 3)}...` : sentence;
  return { word: name, what: short.replaceAll(/[^\x20-\x7e]|['"`$\\]/g, ""), takesValue };
}

/** For bash and zsh: goes through what was typed, and sets `path` to the command and `words` to its words. */
function walk(commands: readonly CompletedCommand[]): string {
  const valued = new Set(
    commands.flatMap(({ words }) => words.filter((each) => each.takesValue)).map((each) => each.word),
  );
  const cases = commands.map(
    ({ path, words }) => `    "${path}") words="${words.map((each) => each.word).join(" ")}" ;;`,
  );
  const paths = commands.filter(({ path }) => path !== "").map(({ path }) => `"${path}"`);
  return `  local path="" skip="" word
  for word in "$@"; do
    if [ -n "$skip" ]; then skip=""; continue; fi
    case "$word" in
      ${[...valued].join("|")}) skip=1; continue ;;
      -*) continue ;;
    esac
    case "\${path:+$path }$word" in
      ${paths.join("|")}) path="\${path:+$path }$word" ;;
    esac
  done
  local words=""
  # The value of a flag is a file, if it is anything that could be known here.
  if [ -n "$skip" ]; then path="-"; fi
  case "$path" in
${cases.join("\n")}
  esac`;
}

/** The script for bash. */
export function bashCompletion(commands: readonly CompletedCommand[]): string {
  return `# Completion of piko in bash.
_piko() {
  local current="\${COMP_WORDS[COMP_CWORD]}"
  set -- "\${COMP_WORDS[@]:1:COMP_CWORD-1}"
${walk(commands)}
  if [ -z "$words" ]; then
    COMPREPLY=($(compgen -f -- "$current"))
    return
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o bashdefault -F _piko piko
`;
}

/** The script for zsh. */
export function zshCompletion(commands: readonly CompletedCommand[]): string {
  return `#compdef piko
# Completion of piko in zsh.
_piko() {
  # Not by the names of zsh's own variables.
  local -a typed
  typed=("\${(@)words[2,CURRENT-1]}")
  local answer
  answer="$(_piko_words "\${typed[@]}")"
  if [ -z "$answer" ]; then
    _files
    return
  fi
  compadd -- \${=answer}
}
_piko_words() {
${walk(commands)}
  print -r -- "$words"
}
compdef _piko piko
`;
}

/** The script for fish. */
export function fishCompletion(commands: readonly CompletedCommand[]): string {
  const paths = commands.filter(({ path }) => path !== "").map(({ path }) => `"${path}"`);
  const valued = new Set(
    commands.flatMap(({ words }) => words.filter((each) => each.takesValue)).map((each) => each.word),
  );
  const lines = commands.flatMap(({ path, words }) =>
    words.map(({ takesValue, what, word: name }) => {
      const given = name.startsWith("--") ? `-l ${name.slice(2)}${takesValue ? " -r" : ""}` : `-f -a ${name}`;
      return `complete -c piko -n '__piko_is "${path}"' ${given} -d '${what}'`;
    }),
  );
  return `# Completion of piko in fish.
function __piko_is
    set -l path ""
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case ${[...valued].join(" ")}
                set skip 1
                continue
            case '-*'
                continue
        end
        set -l longer (string trim "$path $word")
        if contains -- $longer ${paths.join(" ")}
            set path $longer
        end
    end
    test "$path" = "$argv[1]"
end
${lines.join("\n")}
`;
}
