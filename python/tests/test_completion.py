"""Shell completion, asked of the shells themselves."""

import shutil
import subprocess
import sys
from typing import Dict, List

import pytest

from raftwork import _cli
from raftwork._cli.completion import levels

#: How each shell is asked for what may follow a line; the last word is the one being typed.
ASK: Dict[str, str] = {
    "bash": """
source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _raftwork; printf '%s\\n' "${COMPREPLY[@]}"
""",
    "zsh": """
compdef() { :; }
source "$1"; shift
_describe() { local name=$2; print -l -- ${${(P)name}%%:*}; }
_files() { :; }
words=("$@"); CURRENT=$#; _raftwork
""",
    "fish": """
source $argv[1]; complete -C "$argv[2..-1]" | string replace -r '\\t.*' ''
""",
}


@pytest.fixture(params=sorted(ASK))
def ask(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Ask":
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    script = tmp_path_factory.mktemp("completion") / f"raftwork.{shell}"
    said = subprocess.run(
        [sys.executable, "-m", "raftwork", "completion", shell], capture_output=True, text=True, check=True
    )
    script.write_text(said.stdout)
    return Ask(shell, str(script))


class Ask:
    def __init__(self, shell: str, script: str) -> None:
        self.shell, self.script = shell, script

    def __call__(self, *line: str) -> List[str]:
        quiet = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[self.shell]
        # bash and zsh take a name for the script before its arguments, fish does not.
        name = [] if self.shell == "fish" else ["ask"]
        command = [self.shell, *quiet, "-c", ASK[self.shell], *name, self.script, *line]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        typed = line[-1]
        return sorted(word for word in done.stdout.split() if word.startswith(typed))


def test_a_shell_offers_what_may_follow(ask: Ask) -> None:
    assert ask("raftwork", "to") == ["top"]
    assert ask("raftwork", "tasks", "l") == ["list", "logs"]
    assert ask("raftwork", "dev", "s") == ["status", "stop"]
    assert ask("raftwork", "completion", "") == ["bash", "fish", "zsh"]
    assert ask("raftwork", "tasks", "list", "--s") == ["--status"]
    assert "--follow" in ask("raftwork", "tasks", "logs", "--url", "http://a:1", "--")


def test_every_subcommand_and_option_is_in_the_grammar() -> None:
    grammar = levels(_cli.parser())
    assert {"raftwork", "raftwork top", "raftwork tasks logs", "raftwork completion"} <= set(grammar)
    assert "--json" in [option for option, _ in grammar["raftwork tasks show"].options]
