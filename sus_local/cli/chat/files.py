"""``/file``: text files that go with the next question."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from sus_local.cli.text import t
from sus_local.errors import RequestError, from_os_error

if TYPE_CHECKING:
    from sus_local.cli.chat.dialogue import Dialogue

LARGEST_FILE_BYTES = 4 << 20
MOST_FILES = 100
"""Of one pattern."""
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".heic")


def file(dialogue: Dialogue, argument: str) -> None:
    """Put text files into the next question; all of them or none."""
    if not argument:
        raise RequestError(t("which file?"), hint="/file PATH, /file src/*.py")
    llm = dialogue.session.llm
    texts = [(path, _read_text(path)) for path in _meant(argument)]
    counts = [len(llm.tokenize(text)) for _, text in texts]
    if sum(counts) >= llm.n_ctx:
        raise RequestError(
            t(
                "{path} has {count} tokens, the context holds {n_ctx}",
                path=argument,
                count=sum(counts),
                n_ctx=llm.n_ctx,
            ),
            hint=t("send a part of it"),
        )
    for (path, text), count in zip(texts, counts, strict=True):
        dialogue.attachments.append((path.name, text))
        dialogue.ui.say(
            t("{name} ({count} tokens) goes with your next question", name=path.name, count=count)
        )


def _meant(argument: str) -> list[Path]:
    """The file of this name, or those that a pattern finds; ``**`` stands for any folders."""
    name = os.path.expanduser(argument)
    if os.path.exists(name) or not glob.has_magic(name):
        return [Path(name)]
    found = [Path(each) for each in sorted(glob.glob(name, recursive=True))]
    files = [path for path in found if path.is_file()]
    if not files:
        raise RequestError(t("no file is called like {pattern}", pattern=argument))
    if len(files) > MOST_FILES:
        several = t("{count} files are called like {pattern}", count=len(files), pattern=argument)
        raise RequestError(several, hint=t("at most {most} go at once", most=MOST_FILES))
    return files


def _too_large(path: Path, size: int) -> RequestError:
    told = "{path} has {size} bytes, at most {most} are read"
    return RequestError(t(told, path=path, size=size, most=LARGEST_FILE_BYTES))


def _read_text(path: Path) -> str:
    if path.suffix.lower() in _PICTURES:
        raise RequestError(t("{path} is a picture: the model reads text", path=path.name))
    try:
        found = path.stat()
        is_plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
        if not is_plain and not path.is_relative_to("/dev/fd"):  # one may wait or write for ever
            raise RequestError(t("{path} is not a text file", path=path.name))
        with path.open("rb") as file:  # of /dev/fd, a shell's <(command), the size is not known
            content = file.read(LARGEST_FILE_BYTES + 1)
        if len(content) > LARGEST_FILE_BYTES:
            raise _too_large(path, max(found.st_size, len(content)))
    except OSError as error:
        raise from_os_error(error, doing="reading", path=path) from error
    if b"\0" in content:
        raise RequestError(t("{path} is not a text file", path=path.name))
    return content.decode("utf-8", "replace")
