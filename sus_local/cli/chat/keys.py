"""The chat's keys, beside prompt_toolkit's usual ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import Condition, has_completions, has_selection, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


class Keyboard(Protocol):
    """What keys do."""

    def submit(self) -> None:
        """Enter."""
        ...

    def interrupt(self) -> None:
        """Ctrl-C."""
        ...

    def leave(self) -> None:
        """Ctrl-D."""
        ...


def key_bindings(keyboard: Keyboard) -> KeyBindings:
    """Enter sends, Alt-Enter breaks the line, Ctrl-C stops, Ctrl-D leaves, Ctrl-G edits."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        state = event.current_buffer.complete_state
        if state is not None and state.current_completion is not None:
            event.current_buffer.complete_state = None
        keyboard.submit()

    @keys.add("tab")
    def _(event: KeyPressEvent) -> None:
        complete(event.current_buffer)

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _(event: KeyPressEvent) -> None:
        keyboard.interrupt()

    @keys.add("c-d", filter=Condition(lambda: not _text()))
    def _(event: KeyPressEvent) -> None:
        keyboard.leave()

    @keys.add("c-g", filter=~(has_selection | is_searching | has_completions))
    @keys.add("c-x", "c-e")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor(validate_and_handle=False)

    return keys


def editing_mode() -> EditingMode:
    """Vi's keys for who has ``set editing-mode vi`` for readline, as other programs take it."""
    path = Path(os.environ.get("INPUTRC") or Path.home() / ".inputrc")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    modes = [line.split()[2:3] for line in lines if line.split()[:2] == ["set", "editing-mode"]]
    return EditingMode.VI if modes[-1:] == [["vi"]] else EditingMode.EMACS


def complete(buffer: Buffer) -> None:
    """Tab: the next of the menu, or the only completion, or what all of them begin with.

    At once: the menu that opens while one types comes a moment later, and Tab must not wait for it.
    """
    if buffer.complete_state is not None:
        buffer.complete_next()
        return
    request = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, request))
    if len(found) == 1:
        buffer.apply_completion(found[0])
    elif common := get_common_complete_suffix(buffer.document, found):
        buffer.insert_text(common)
    else:
        buffer.start_completion()


def _text() -> str:
    from prompt_toolkit.application import get_app

    return get_app().current_buffer.text
