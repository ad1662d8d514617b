/**
 * Completion scripts, generated from the command tree: a command that is added appears in
 * them by itself. All three walk the same table, one line a command:
 *
 *   <path of the command>|<words that can follow: subcommands and options>
 *
 * Where nothing of the table fits, the shell completes file names.
 */
import type { Command } from "commander";
import { UsageError } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";
import { outputFor } from "./client_command.ts";

/** One word that can follow, and what it is for. */
export interface Word {
  readonly word: string;
  readonly about: string;
  /** Whether it is an option that takes a value. */
  readonly takesValue: boolean;
}

/** A command and the words that can follow it. The program itself has the empty path. */
export interface Node {
  readonly path: string;
  readonly words: readonly Word[];
}

const SHELLS: Readonly<Record<string, (nodes: readonly Node[]) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export function addCompletionCommand(program: Command, host: CliHost): void {
  program.command("completion <shell>")
    .description(`print a completion script for ${Object.keys(SHELLS).join(", ")}`)
    .option("--json", "answer in JSON")
    .action((shell: string, options: { readonly json?: boolean }) => {
      const script = SHELLS[shell]?.(commandTree(program));
      if (script === undefined) {
        throw new UsageError(`No completion for ${shell}: ${Object.keys(SHELLS).join(", ")}`);
      }
      outputFor(host, options).answer({ shell, script }, [script.trimEnd()]);
    });
}

/** Every command of the tree, parents first. */
export function commandTree(command: Command, path = ""): Node[] {
  const subcommands = command.commands.map((one) => ({
    word: one.name(),
    about: one.description(),
    takesValue: false,
  }));
  const options = command.createHelp().visibleOptions(command).flatMap((option) =>
    [option.long, option.short].flatMap((word) =>
      word === undefined || word === null
        ? []
        : [{ word, about: option.description, takesValue: option.required || option.optional }]
    )
  );
  return [
    { path, words: [...subcommands, ...options] },
    ...command.commands.flatMap((one) => commandTree(one, `${path} ${one.name()}`.trim())),
  ];
}

/** Within single quotes of any of the three shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("\\", "").replaceAll("'", "’")}'`;
}

function valued(nodes: readonly Node[]): string {
  const words = nodes.flatMap((node) => node.words).filter((w) => w.takesValue).map((w) => w.word);
  return [...new Set(words)].sort().join("|");
}

function cases(nodes: readonly Node[], words: (node: Node) => string): string {
  return nodes.map((node) => `    ${quoted(node.path)}) ${words(node)} ;;`).join("\n");
}

/** The loop that both POSIX-like shells use to find the command in the words so far. */
function findCommand(nodes: readonly Node[], words: string, end: string): string {
  const paths = nodes.map((node) => quoted(node.path)).filter((path) => path !== "''").join("|");
  return `  local at= skip= word
  for word in "${words}"; do
    if [ -n "$skip" ]; then skip=; continue; fi
    case $word in
      --) ${end} ;;
      ${valued(nodes)}) skip=1; continue ;;
      -*) continue ;;
    esac
    case "\${at:+$at }$word" in
      ${paths}) at="\${at:+$at }$word" ;;
    esac
  done
  if [ -n "$skip" ]; then ${end}; fi`;
}

function bashScript(nodes: readonly Node[]): string {
  return `# bash completion of layerd: source <(layerd completion bash)
_layerd() {
  local current=\${COMP_WORDS[COMP_CWORD]} words=
  COMPREPLY=()
${findCommand(nodes, "${COMP_WORDS[@]:1:COMP_CWORD-1}", "return 0")}
  case $at in
${cases(nodes, (node) => `words=${quoted(node.words.map((w) => w.word).join(" "))}`)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _layerd layerd
`;
}

function zshScript(nodes: readonly Node[]): string {
  const described = (node: Node) =>
    `candidates=(${
      node.words.map((w) => quoted(`${w.word}:${w.about.replaceAll(":", " ")}`)).join(" ")
    })`;
  return `#compdef layerd
# zsh completion of layerd: source <(layerd completion zsh)
_layerd() {
  local -a candidates
${findCommand(nodes, "${(@)words[2,CURRENT-1]}", "_files; return")}
  case $at in
${cases(nodes, described)}
  esac
  _describe -o 'layerd' candidates || _files
}
(( $+functions[compdef] )) && compdef _layerd layerd
`;
}

function fishScript(nodes: readonly Node[]): string {
  const lines = nodes.flatMap((node) => {
    const when = quoted(`__layerd_at "${node.path}"`);
    return node.words.map(({ word, about, takesValue }) => {
      const long = /^--(.+)$/.exec(word)?.[1];
      const short = /^-(.)$/.exec(word)?.[1];
      const what = long !== undefined
        ? `-l ${long}`
        : short !== undefined
        ? `-s ${short}`
        : `-f -a ${word}`;
      const value = takesValue ? " -r" : "";
      return `complete -c layerd -n ${when} ${what}${value} -d ${quoted(about)}`;
    });
  });
  const paths = nodes.map((node) => quoted(node.path)).filter((path) => path !== "''");
  return `# fish completion of layerd: layerd completion fish | source
function __layerd_at
    set -l at ''
    set -l skip ''
    for word in (commandline -opc)[2..-1]
        if test -n "$skip"
            set skip ''
            continue
        end
        switch $word
            case --
                return 1
            case ${valued(nodes).replaceAll("|", " ")}
                set skip 1
            case '-*'
            case '*'
                set -l next (string trim "$at $word")
                contains -- $next ${paths.join(" ")}; and set at $next
        end
    end
    test -z "$skip"; and test "$at" = "$argv[1]"
end
${lines.join("\n")}
`;
}
