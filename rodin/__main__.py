"""`python -m rodin`: what torchrun starts."""

from __future__ import annotations

from rodin.cli.main import main

if __name__ == "__main__":
    main()
