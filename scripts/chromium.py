"""Debian's Chromium for the scripts that draw pictures: no screen, no graphics card. No script by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

SOFTWARE_GRAPHICS = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """A browser while this runs.

    Args:
        flags: beside those that any of them needs.
    """
    sandbox = [] if os.getuid() else ["--no-sandbox"]  # which root has none
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*SOFTWARE_GRAPHICS, *sandbox, *flags]
        )
        try:
            yield browser
        finally:
            browser.close()
