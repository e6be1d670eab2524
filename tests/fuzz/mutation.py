"""Spoiling sound examples, as chance has it; the same for the same seed."""

from collections.abc import Iterator, Sequence
from random import Random

MOST_CHANGES = 6
LONGEST_COPY = 64

# What programs trip over: nothing, everything, signs, and sizes around powers of two.
_WIDTHS = (1, 2, 4, 8)
_EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def cases(examples: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """So many spoiled examples."""
    random = Random(seed)
    for _ in range(count):
        data = bytearray(random.choice(examples))
        for _ in range(random.randint(1, MOST_CHANGES)):
            random.choice(_CHANGES)(data, random, examples)
        yield bytes(data)


def _flip(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _overwrite(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    place, width = _place(data, random), random.choice(_WIDTHS)
    value = random.choice(_EDGES) & (1 << 8 * width) - 1
    data[place : place + width] = value.to_bytes(width, random.choice(["little", "big"]))


def _insert(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    place = _place(data, random)
    data[place:place] = random.randbytes(random.randint(1, 8))


def _delete(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    place = _place(data, random)
    del data[place : place + random.randint(1, LONGEST_COPY)]


def _cut(data: bytearray, random: Random, _: Sequence[bytes]) -> None:
    del data[_place(data, random) :]


def _copy(data: bytearray, random: Random, examples: Sequence[bytes]) -> None:
    """A stretch of another example, or of the same one."""
    other = random.choice(examples)
    start = random.randrange(len(other))
    place = _place(data, random)
    data[place:place] = other[start : start + random.randint(1, LONGEST_COPY)]


def _place(data: bytearray, random: Random) -> int:
    """Mostly near the start, where headers are."""
    return min(random.randrange(len(data) + 1), random.choice([64, len(data)]))


_CHANGES = (_flip, _overwrite, _overwrite, _insert, _delete, _cut, _copy)
