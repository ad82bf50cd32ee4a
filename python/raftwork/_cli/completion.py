"""``raftwork completion``: what makes the shell complete subcommands and options, made from the grammar itself."""

import argparse
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from ._common import DONE, add_command

_EXAMPLES = """\
  raftwork completion bash > ~/.local/share/bash-completion/completions/raftwork
  raftwork completion zsh > ~/.zfunc/_raftwork            with ~/.zfunc in $fpath, before compinit
  raftwork completion fish > ~/.config/fish/completions/raftwork.fish
"""


class Level(NamedTuple):
    """What may follow a subcommand."""

    words: List[Tuple[str, str]]
    """Subcommands and fixed values, each with its help."""
    options: List[Tuple[str, str]]


def add_parser(commands: Any) -> None:
    """Add the subcommand."""
    summary = "Print a script that makes a shell complete this command."
    parser = add_command(commands, "completion", summary, _EXAMPLES, _run)
    parser.add_argument("shell", choices=sorted(_SHELLS), help="the shell")


def _run(arguments: argparse.Namespace) -> int:
    from . import parser

    print(_SHELLS[arguments.shell](levels(parser())), end="")
    return DONE


def levels(parser: argparse.ArgumentParser) -> Dict[str, Level]:
    """The grammar: what may follow ``raftwork``, ``raftwork tasks``, ``raftwork tasks list`` and so on."""
    return dict(_levels("raftwork", parser))


def _levels(path: str, parser: argparse.ArgumentParser) -> Iterator[Tuple[str, Level]]:
    level = Level([], [])
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: _plain(choice.help) for choice in action._choices_actions}
            level.words.extend((word, helps.get(word, "")) for word in action.choices)
            for word, child in action.choices.items():
                yield from _levels(f"{path} {word}", child)
        elif action.option_strings:
            level.options.extend((option, _plain(action.help)) for option in action.option_strings)
        elif action.choices:
            level.words.extend((str(choice), _plain(action.help)) for choice in action.choices)
    yield path, level


def _plain(text: Any) -> str:
    """A help text on one line that needs no quoting in any shell."""
    kept = "".join(letter for letter in str(text or "") if letter not in "'\"`$\\[]:%")
    return " ".join(kept.split())


def _deeper(grammar: Dict[str, Level]) -> List[str]:
    """The levels below the first, to which a word leads."""
    return [path for path in sorted(grammar) if path != "raftwork"]


def _bash(grammar: Dict[str, Level]) -> str:
    deeper = "|".join(f'"{path}"' for path in _deeper(grammar))
    cases = "\n".join(
        f"    \"{path}\") words='{_names(level.words)}'; options='{_names(level.options)}' ;;"
        for path, level in sorted(grammar.items())
    )
    return f"""\
# bash completion for raftwork; made by: raftwork completion bash
_raftwork() {{
  local word words options path=raftwork current="${{COMP_WORDS[COMP_CWORD]}}"
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$path $word" in
      {deeper}) path="$path $word" ;;
    esac
  done
  case "$path" in
{cases}
  esac
  if [[ "$current" == -* ]]; then words="$options"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _raftwork raftwork
"""


def _zsh(grammar: Dict[str, Level]) -> str:
    deeper = "|".join(f'"{path}"' for path in _deeper(grammar))
    cases = "\n".join(
        f'    "{path}") found=({_described(level.words)}); options=({_described(level.options)}) ;;'
        for path, level in sorted(grammar.items())
    )
    # In a completion function, `words` is the command line, `CURRENT` the place of the word being typed.
    return f"""\
#compdef raftwork
# zsh completion for raftwork; made by: raftwork completion zsh
_raftwork() {{
  local word level=raftwork
  local -a found options
  for word in "${{(@)words[2,CURRENT-1]}}"; do
    case "$level $word" in
      {deeper}) level="$level $word" ;;
    esac
  done
  case "$level" in
{cases}
  esac
  if [[ "$words[CURRENT]" == -* ]]; then
    _describe option options
  elif (( $#found )); then
    _describe command found
  else
    _files
  fi
}}
if [[ "$funcstack[1]" == _raftwork ]]; then _raftwork "$@"; else compdef _raftwork raftwork; fi
"""


def _fish(grammar: Dict[str, Level]) -> str:
    lines = [
        "# fish completion for raftwork; made by: raftwork completion fish",
        "function __raftwork_level",
        "    set -l level raftwork",
        "    for word in (commandline -opc)[2..-1]",
        '        switch "$level $word"',
        f"            case {' '.join(map(repr, _deeper(grammar)))}",
        '                set level "$level $word"',
        "        end",
        "    end",
        '    test "$level" = "$argv[1]"',
        "end",
    ]
    for path, level in sorted(grammar.items()):
        at = f"complete -c raftwork -n '__raftwork_level \"{path}\"'"
        if level.words:
            # No files where a word is wanted.
            lines.append(f"{at} -f")
        lines += [f"{at} -a '{word}' -d '{text}'" for word, text in level.words]
        lines += [f"{at} {_fish_option(option)} -d '{text}'" for option, text in level.options]
    return "\n".join(lines) + "\n"


def _fish_option(option: str) -> str:
    return f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"


def _names(pairs: List[Tuple[str, str]]) -> str:
    return " ".join(name for name, _ in pairs)


def _described(pairs: List[Tuple[str, str]]) -> str:
    return " ".join(f"'{name}:{text}'" for name, text in pairs)


_SHELLS = {"bash": _bash, "fish": _fish, "zsh": _zsh}
