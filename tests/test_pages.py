"""What README and the other pages point to is there, and their Python runs."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

from sus_local import paths

ROOT = Path(__file__).resolve().parent.parent
READMES = sorted(ROOT.glob("README*.md"))
PAGES = [
    *(page for pattern in ("*.md", "docs/*.md") for page in sorted(ROOT.glob(pattern))),
    ROOT / "sus_local" / "demo" / "checkpoint" / "README.md",
]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)|(?:href|src)=\"([^\"]+)\"")


@cache
def anchors(page: Path) -> set[str]:
    """Where a link into a page can lead: its headings, as GitHub names them."""
    prose = FENCED.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def broken(page: Path, link: str) -> bool:
    """Whether a link within the repository leads nowhere."""
    path, _, anchor = unquote(link).partition("#")
    target = page.parent / path if path else page
    return not target.exists() or bool(anchor and anchor not in anchors(target.resolve()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = FENCED.sub("", page.read_text("utf-8"))
    links = [inline or attribute for inline, attribute in LINK.findall(prose)]
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if broken(page, link)] == []


@pytest.mark.model
@pytest.mark.parametrize("page", READMES, ids=lambda page: page.name)
def test_the_python_of_a_readme_runs(
    page: Path, demo_gguf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the demo model in the place of the one that is named there."""
    blocks = [
        code for language, code in FENCED.findall(page.read_text("utf-8")) if language == "python"
    ]
    paths.models_dir().mkdir()
    for name in set(re.findall(r"load\(\"([^\"]+)\"", "".join(blocks))):
        os.link(demo_gguf, paths.models_dir() / f"{name}-Q4_K_M.gguf")
    for code in blocks:
        exec(compile(code, str(page), "exec"), {})
    said = capsys.readouterr().out
    assert re.search(r"[1-9]\d* (tokens were cached|个 token 来自缓存)", said)
