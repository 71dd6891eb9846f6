"""`lossaudit completion`: the scripts, loaded into real shells."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
SHELLS = ("bash", "zsh", "fish")


def asked(shell, script, *arguments):
    """What a shell prints that runs a script with the `lossaudit` of this environment on its path."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} isn't on this machine")
    result = subprocess.run(
        [shell, *arguments, "-c", script],
        capture_output=True,
        text=True,
        env={"PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"},
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def bash(*words):
    """What bash offers for the last word, asked as readline does."""
    quoted = " ".join(f"'{word}'" for word in ("lossaudit", *words))
    return asked(
        "bash",
        f"source <(lossaudit completion bash); COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; "
        '_lossaudit_completion lossaudit; printf "%s\\n" "${COMPREPLY[@]}"',
        "--norc",
    )


def test_bash_completes_commands():
    assert bash("re") == ["review"] or "review" in bash("re")
    assert {"audit", "top", "doctor", "cache", "completion"} < set(bash(""))


def test_bash_completes_commands_of_commands():
    assert bash("cache", "") == ["ls", "clear"] or set(bash("cache", "")) == {"clear", "ls"}


def test_bash_completes_options_and_their_values():
    assert "--precision" in bash("audit", "--pre")
    assert set(bash("top", "--format", "")) == {"table", "jsonl", "csv"}
    assert bash("completion", "fi") == ["fish"]


def test_bash_knows_the_function_for_the_command():
    said = asked("bash", "source <(lossaudit completion bash); complete -p lossaudit", "--norc")
    assert "_lossaudit_completion" in said


def test_zsh_loads_it_and_knows_the_function_for_the_command():
    script = 'autoload -Uz compinit; compinit -D; eval "$(lossaudit completion zsh)"; print $_comps[lossaudit]'
    assert asked("zsh", script, "-f") == ["_lossaudit_completion"]


def test_fish_completes_commands():
    script = "lossaudit completion fish | source; complete --do-complete 'lossaudit comp'"
    assert "completion" in asked("fish", script, "--no-config")


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_all_that_is_printed(run, shell):
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_LOSSAUDIT_COMPLETE=" in result.stdout
    assert result.stderr == ""


def test_another_shell_is_refused(run):
    result = run("completion", "tcsh")
    assert result.exit_code == 2
    assert "bash" in result.stderr
