"""Elements of Markdown as the chat draws them: nothing framed, nothing padded, nothing cut off."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, ListItem, TableElement
from rich.segment import Segment
from rich.syntax import Syntax
from rich.table import Table


class LeftHeading(Heading):
    """A heading at the left, where one reads, without a frame."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "left"
        yield self.text


class BareCode(CodeBlock):
    """Code without padding, so that it can be copied from the screen."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        yield Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True)


class OpenTable(TableElement):
    """A table without empty lines around it, its cells whole."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            if isinstance(part, Table):
                part.show_edge = False
                for column in part.columns:
                    column.overflow = "fold"
            yield part


class NumberedItem(ListItem):
    """An item whose number has its point."""

    def render_number(
        self, console: Console, options: ConsoleOptions, number: int, last_number: int
    ) -> RenderResult:
        """Draw the item of an ordered list."""
        # One column for up to 99 items: a list is drawn in parts while it comes.
        width = max(len(str(last_number)), 2) + 2
        style = console.get_style("markdown.item.number", default="none")
        inner = options.update(width=options.max_width - width)
        lead = f"{number}.".rjust(width - 1) + " "
        for line in console.render_lines(self.elements, inner, style=self.style):
            yield Segment(lead, style)
            yield from line
            yield Segment("\n")
            lead = " " * width
