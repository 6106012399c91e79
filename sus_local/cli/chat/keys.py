"""The chat's keys, beside prompt_toolkit's usual ones."""

from __future__ import annotations

from typing import Protocol

from prompt_toolkit.filters import Condition
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
    """Enter sends, Alt-Enter breaks the line, Ctrl-C stops, Ctrl-D leaves, Ctrl-X Ctrl-E edits."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        state = event.current_buffer.complete_state
        if state is not None and state.current_completion is not None:
            event.current_buffer.complete_state = None
        keyboard.submit()

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

    @keys.add("c-x", "c-e")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.open_in_editor(validate_and_handle=False)

    return keys


def _text() -> str:
    from prompt_toolkit.application import get_app

    return get_app().current_buffer.text
