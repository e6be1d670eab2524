"""Markdown that is also for eyes."""

from collections.abc import Sequence

TENTHS_BELOW = 0.01


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    is_name = [not any(cell[:1].isdigit() for cell in column) for column in zip(*rows, strict=True)]
    is_name[0] = True
    rule = [
        "-" * width if name else f"{'-' * (width - 1)}:"
        for width, name in zip(widths, is_name, strict=True)
    ]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if name else cell.rjust(width)
            for cell, width, name in zip(cells, widths, is_name, strict=True)
        )
        return f"| {' | '.join(padded)} |"

    return "\n".join(map(line, [head, rule, *rows]))


def seconds(value: float) -> str:
    """To the millisecond below one."""
    return f"{value:.3f} s" if value < 1 else f"{value:.2f} s"


def milliseconds(value: float) -> str:
    """Of seconds; a tenth below ten."""
    return f"{1000 * value:,.0f} ms" if value >= TENTHS_BELOW else f"{1000 * value:.1f} ms"


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
