"""Some thousand cases of each target; `make fuzz` reads a million."""

import pytest

from tests.fuzz import mutation
from tests.fuzz.targets import TARGETS

CASES = 3_000
SEED = 1


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_documented_errors_comes_of_spoiled_input(name: str) -> None:
    target = TARGETS[name]
    for example in target.examples:
        target.run(example)

    for data in mutation.cases(target.examples, CASES, SEED):
        target.run(data)


def test_the_same_seed_spoils_the_same_way() -> None:
    examples = TARGETS["wav"].examples

    one, same, other = (list(mutation.cases(examples, 50, seed)) for seed in (1, 1, 2))

    assert one == same != other
