// `piko completion bash|zsh|fish`: scripts that complete commands and flags in a shell. They contain all names and don't call the
// program, because a key press must not wait for a program to start.

import { Command } from "commander";
import { bashCompletion, fishCompletion, listWords, zshCompletion } from "./completion-scripts.js";

const SHELLS = {
  bash: {
    write: bashCompletion,
    use: '# In ~/.bashrc: eval "$(piko completion bash)"\n  piko completion bash',
  },
  zsh: {
    write: zshCompletion,
    use: '# In ~/.zshrc, after compinit: eval "$(piko completion zsh)"\n  piko completion zsh',
  },
  fish: {
    write: fishCompletion,
    use: "# In ~/.config/fish/config.fish: piko completion fish | source\n  piko completion fish",
  },
} as const;

/** Creates the command. `program` is the one whose words are completed. */
export function createCompletionCommand(program: Command): Command {
  const command = new Command("completion")
    .summary("print a completion script for a shell")
    .description("Prints a script that makes a shell complete the commands and flags of piko.")
    .addHelpText(
      "after",
      ["", "Examples:", ...Object.values(SHELLS).map(({ use }) => `  ${use}`)].join("\n"),
    );
  for (const [shell, { use, write }] of Object.entries(SHELLS)) {
    command.addCommand(
      new Command(shell)
        .summary(`for ${shell}`)
        .description(`Prints the script for ${shell}.`)
        .allowExcessArguments(false)
        .addHelpText("after", `\nExample:\n  ${use}`)
        .action(() => void process.stdout.write(write(listWords(program)))),
    );
  }
  return command;
}
