"""Contract of `rodin completion`: a real shell completes commands, the commands of groups, flags and their values."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rodin.cli.main import COMMANDS, main

ASK = """
source "$1"
COMP_WORDS=($2 "$3"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="$2 $3"; COMP_POINT=${#COMP_LINE}
function=$(complete -p rodin | sed 's/.*-F \\([^ ]*\\).*/\\1/')
$function rodin "$3"
printf "%s\n" "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "rodin"
    with pytest.MonkeyPatch.context() as patch, path.open("w") as file:
        patch.setattr("sys.stdout", file)
        with pytest.raises(SystemExit) as ended:
            main(["completion", "bash"])
    assert not ended.value.code
    return path


@pytest.mark.parametrize(
    ("typed", "last", "wanted"),
    [
        ("rodin", "gen", {"generate"}),
        ("rodin", "", set(COMMANDS)),
        ("rodin train", "b", {"base"}),
        ("rodin train base", "--ho", {"--hours"}),
        ("rodin generate --sampler", "dd", {"ddim"}),
    ],
)
def test_bash_completes(script: Path, typed: str, last: str, wanted: set[str]) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run([bash, "-c", ASK, "bash", script, typed, last], capture_output=True, text=True, check=True)
    assert wanted <= set(done.stdout.split()), done.stderr


@pytest.mark.parametrize("shell", ["zsh"])
def test_other_shells_get_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["completion", shell])
    assert not ended.value.code
    assert "interpolate" in capsys.readouterr().out
