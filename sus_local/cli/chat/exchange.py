"""A question whose answer is on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sus_local.errors import SusLocalError

if TYPE_CHECKING:
    from sus_local.cli.chat.session import Session
    from sus_local.results import Piece
    from sus_local.stream import Stream
    from sus_local.turn import Turn


class Exchange:
    """A question whose answer is on its way.

    Attributes:
        num_dropped_before: Turns that had left the context before it.
    """

    def __init__(self, session: Session, stream: Stream, num_dropped_before: int) -> None:
        self.num_dropped_before = num_dropped_before
        self._session = session
        self._stream = stream

    def next_piece(self) -> Piece | None:
        """The next piece, saved in due time; None at the end. Ctrl-C stops the answer.

        Raises:
            SusLocalError: The answer failed.
        """
        recorder = self._session.recorder
        try:
            piece = next(self._stream, None)
        except KeyboardInterrupt:
            self._stream.close()
            return self.next_piece()
        except SusLocalError:
            recorder.fail()
            raise
        if piece is None:
            recorder.finish(self.turn)
        else:
            recorder.take(piece)
        return piece

    def cancel(self) -> None:
        """Stop the answer, keep what came; from any thread."""
        self._stream.close()

    def end(self) -> None:
        """Stop the answer, and save what came, though nobody is shown it."""
        self.cancel()
        while self.next_piece() is not None:
            pass

    @property
    def prompt_progress(self) -> tuple[int, int]:
        """Tokens of the prompt that are read, and all of them; from any thread."""
        return self._stream.prompt_progress

    @property
    def turn(self) -> Turn:
        """The finished turn."""
        return self._session.last_turn()
