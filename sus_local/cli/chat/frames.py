"""What goes to the terminal goes as whole frames, and old frames leave nothing behind.

A frame is one write, between the marks of synchronized output (DEC private mode 2026): terminals
that know them show it at once, the others ignore them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from prompt_toolkit.output import Output, create_output
from prompt_toolkit.output.vt100 import Vt100_Output

if TYPE_CHECKING:
    from prompt_toolkit.application import Application

BEGIN, END = "\x1b[?2026h", "\x1b[?2026l"


class FrameOutput(Vt100_Output):
    """A terminal to which everything between two flushes goes as one frame."""

    _is_open = False
    _is_held = False

    def write(self, data: str) -> None:
        """As the base class's."""
        self._open()
        super().write(data)

    def write_raw(self, data: str) -> None:
        """As the base class's."""
        self._open()
        super().write_raw(data)

    def erase_down(self) -> None:
        """As the base class's, from the first column.

        In two steps: tmux moves what is erased at once from the first cell to its history.
        """
        self.write_raw("\x1b[C\x1b[J\x1b[D\x1b[K")

    def flush(self) -> None:
        """Send the frame; within :meth:`held`, leave it to the next flush after that."""
        if self._is_open and not self._is_held:
            super().write_raw(END)
            self._is_open = False
            super().flush()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Whatever is flushed here becomes part of the next frame."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def _open(self) -> None:
        if not self._is_open:
            self._is_open = True
            super().write_raw(BEGIN)


def open_output() -> Output:
    """The terminal, never asked where its cursor is: many do not answer, and nothing needs it."""
    output = create_output()
    if type(output) is Vt100_Output:
        output = FrameOutput.from_pty(sys.stdout, term=os.environ.get("TERM"))
    if hasattr(output, "enable_cpr"):
        output.enable_cpr = False
    return output


class Drawing:
    """What an application draws at the end of the terminal, and what is printed above it.

    Terminals break lines anew when their window becomes narrower. The drawing then has more rows
    than when it was drawn, and is taken away from where it begins now.

    Args:
        app: What draws.
        take_text: Gives what is to be printed above the drawing that comes now.
    """

    def __init__(self, app: Application[Any], take_text: Callable[[], str]) -> None:
        self._app = app
        self._take_text = take_text
        self._columns = 0
        app.before_render += lambda _: self._prepare()

    def _prepare(self) -> None:
        """Before the drawing: print what is above it, take away what the window broke anew.

        Whatever is written here goes to the terminal with the drawing, as one frame.
        """
        text = self._take_text()
        columns = self._app.output.get_size().columns
        if text or columns != self._columns:
            with self._held():
                self._take_away()
                self._app.output.write_raw(text.replace("\n", "\r\n"))
                self._app.output.flush()
        self._columns = columns

    def _take_away(self) -> None:
        added = self._num_rows_added()
        if added > 0:
            self._app.output.cursor_up(added)
        self._app.renderer.erase(leave_alternate_screen=False)

    def _num_rows_added(self) -> int:
        """By how many rows the drawing above the cursor grew since it was drawn."""
        screen = self._app.renderer.last_rendered_screen
        columns = self._app.output.get_size().columns
        if screen is None or columns >= self._columns or not breaks_lines_anew(os.environ):
            return 0
        cursor = screen.get_cursor_position(self._app.layout.current_window)
        widths = [_width(screen.data_buffer[row]) for row in range(cursor.y)]
        return num_broken_rows([*widths, cursor.x], columns) - cursor.y - 1

    def _held(self) -> AbstractContextManager[None]:
        output = self._app.output
        return output.held() if isinstance(output, FrameOutput) else nullcontext()


def _width(row: Mapping[int, Any]) -> int:
    """The cells of a row up to its last character."""
    return max((x + cell.width for x, cell in row.items() if cell.char.strip()), default=0)


def num_broken_rows(widths: Sequence[int], columns: int) -> int:
    """The rows that lines of these widths take in a window of so many columns.

    >>> num_broken_rows([0, 80, 81, 100], 40)
    9
    """
    return sum(max(1, -(-width // columns)) for width in widths)


def breaks_lines_anew(environ: Mapping[str, str]) -> bool:
    """Whether the terminal breaks lines anew when its width changes. Most do.

    >>> breaks_lines_anew({"TERM": "xterm-256color"}), breaks_lines_anew({"TERM": "linux"})
    (True, False)
    >>> breaks_lines_anew({"TERM": "xterm", "XTERM_VERSION": "XTerm(390)"})
    False
    """
    if "TMUX" in environ:
        return True
    return "XTERM_VERSION" not in environ and not environ.get("TERM", "").startswith(
        ("linux", "screen")
    )
