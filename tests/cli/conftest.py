"""What several tests of the command line share."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from rodin.cli.main import main

Fails = Callable[..., str]


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """fails(arguments) -> the one line that the command ends with, progress bars aside."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert "Traceback" not in error
        lines = [line for line in re.split(r"[\r\n]+", error) if line.strip()]
        assert [line for line in lines if "rodin: " in line] == lines[-1:]
        assert lines[-1].startswith("rodin: ")
        return lines[-1].removeprefix("rodin: ")

    return run
