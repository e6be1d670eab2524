"""Who may upload at the same time as others."""

from contextlib import ExitStack

import pytest

from api.places import Place, Places
from shared import errors


def test_so_many_upload_at_once_and_the_next_one_when_one_has_ended() -> None:
    places = Places(2)

    with places.place() as first, places.place() as second, places.place() as third:
        first.take(is_known=True)
        second.take(is_known=True)
        with pytest.raises(errors.TooManyRequests):
            third.take(is_known=True)
        first.give_back()
        third.take(is_known=True)

    assert (places.taken, places.strangers) == (0, 0)


def test_strangers_have_a_quarter_of_the_places() -> None:
    places = Places(8)

    with ExitStack() as stack:
        for _ in range(2):
            taken(stack, places, is_known=False)
        with pytest.raises(errors.TooManyRequests):
            taken(stack, places, is_known=False)
        for _ in range(6):
            taken(stack, places, is_known=True)

    assert (places.taken, places.strangers) == (0, 0)


def test_who_becomes_known_keeps_the_place() -> None:
    places = Places(1)

    with places.place() as place:
        place.take(is_known=False)
        place.take(is_known=True)

        assert places.taken == 1
    assert (places.taken, places.strangers) == (0, 0)


def taken(stack: ExitStack, places: Places, *, is_known: bool) -> Place:
    place = stack.enter_context(places.place())
    place.take(is_known=is_known)
    return place
