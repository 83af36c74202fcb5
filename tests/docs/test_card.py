"""Contract: the model card tells the figures of the evaluation that lies beside the documentation."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_card_has_the_tables_of_the_evaluation() -> None:
    command = [sys.executable, "scripts/model_card.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
