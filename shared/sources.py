"""What is known of each source of questions, whoever asks it: one table of facts.

How a source is asked is the worker's business (`worker/sources/`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

DIFFICULTIES = ("easy", "medium", "hard")


class Limit(NamedTuple):
    """So many requests in any stretch of so many seconds."""

    requests: int
    seconds: float


class Filters(NamedTuple):
    """What somebody wants questions to be like; None where anything will do."""

    category: str | None = None
    """As a source names it, in upper or lower case."""
    difficulty: str | None = None

    def admit(self, category: str | None, difficulty: str | None) -> bool:
        """Whether a question with this category and difficulty is wanted."""
        return (self.category is None or _same(category, self.category)) and (
            self.difficulty is None or difficulty == self.difficulty
        )


@dataclass(frozen=True)
class Facts:
    """A source, as its own pages describe it."""

    name: str
    url: str | None
    """Where it is asked, unless the settings say otherwise; None: it is part of this program."""
    licence: str | None
    """None where none is stated."""
    attribution: str
    most_per_request: int
    limit: Limit | None = None
    """How often one address may ask."""
    is_self_hosted: bool = False
    """Whether anybody may run a server of this protocol."""
    categories: tuple[str, ...] = ()
    """Those it can be asked for; none if it cannot choose."""
    tells_difficulty: bool = False

    def knows(self, category: str) -> bool:
        return any(_same(category, known) for known in self.categories)

    def honours(self, filters: Filters) -> bool:
        """Whether this source can be asked for such questions."""
        return (filters.category is None or self.knows(filters.category)) and (
            filters.difficulty is None or self.tells_difficulty
        )


def _same(category: str | None, other: str) -> bool:
    return category is not None and category.casefold() == other.casefold()


JSERVICE = Facts(
    name="jservice",
    url="https://jservice.io/api/random",
    licence=None,
    attribution="J! Archive, https://j-archive.com",
    most_per_request=100,
    limit=Limit(60, 60),
    is_self_hosted=True,
)

OPENTDB = Facts(
    name="opentdb",
    url="https://opentdb.com",
    licence="CC BY-SA 4.0",
    attribution="Open Trivia Database, https://opentdb.com",
    most_per_request=50,
    limit=Limit(1, 5),
    # In the order of its ids, from 9 on: `GET /api_category.php` lists them.
    categories=(
        "General Knowledge",
        "Entertainment: Books",
        "Entertainment: Film",
        "Entertainment: Music",
        "Entertainment: Musicals & Theatres",
        "Entertainment: Television",
        "Entertainment: Video Games",
        "Entertainment: Board Games",
        "Science & Nature",
        "Science: Computers",
        "Science: Mathematics",
        "Mythology",
        "Sports",
        "Geography",
        "History",
        "Politics",
        "Art",
        "Celebrities",
        "Animals",
        "Vehicles",
        "Entertainment: Comics",
        "Science: Gadgets",
        "Entertainment: Japanese Anime & Manga",
        "Entertainment: Cartoon & Animations",
    ),
    tells_difficulty=True,
)

TRIVIA_API = Facts(
    name="trivia-api",
    url="https://the-trivia-api.com",
    licence="CC BY-NC 4.0",
    attribution="The Trivia API, https://the-trivia-api.com",
    most_per_request=50,
    limit=Limit(30, 60),  # It names no number; this one is modest.
    categories=(
        "arts_and_literature",
        "film_and_tv",
        "food_and_drink",
        "general_knowledge",
        "geography",
        "history",
        "music",
        "science",
        "society_and_culture",
        "sport_and_leisure",
    ),
    tells_difficulty=True,
)

BANK = Facts(
    name="bank",
    url=None,
    licence="MIT",
    attribution="Quaver",
    # More than there are: one request for the most brings all, so a job that wants what others
    # have left finds it.
    most_per_request=10_000,
    categories=(
        "Animals",
        "Art and architecture",
        "Astronomy",
        "Biology",
        "Chemistry",
        "Classical composers",
        "Computing",
        "Cooking techniques",
        "Film history",
        "Food and drink",
        "Games",
        "Geography",
        "Human body",
        "Inventions and discoveries",
        "Language and words",
        "Law and government",
        "Literature",
        "Mathematics",
        "Measurement and units",
        "Money and economics",
        "Music theory and instruments",
        "Mythology",
        "Physics",
        "Plants",
        "Religion and festivals",
        "Seas and oceans",
        "Sport and its rules",
        "Transport",
        "Weather and earth science",
        "World history",
    ),
)

KNOWN: Mapping[str, Facts] = {facts.name: facts for facts in (JSERVICE, OPENTDB, TRIVIA_API, BANK)}


def objections(filters: Filters, names: Iterable[str]) -> dict[str, str]:
    """What is wrong with each filter, if none of these sources can be asked for such questions."""
    here = [KNOWN[name] for name in names]
    if any(facts.honours(filters) for facts in here):
        return {}
    found, owner = {}, "a source"
    if filters.difficulty is not None:
        telling = [facts for facts in here if facts.tells_difficulty]
        if telling:
            here, owner = telling, "a source that tells difficulty"
        else:
            found["difficulty"] = _cannot(here, [f for f in KNOWN.values() if f.tells_difficulty])
    if filters.category is not None and not any(f.knows(filters.category) for f in here):
        found["category"] = _categories(here, owner)
    return found


def _categories(here: Sequence[Facts], owner: str) -> str:
    choosing = [facts for facts in here if facts.categories]
    if not choosing:
        return _cannot(here, [facts for facts in KNOWN.values() if facts.categories])
    lists = (f"{facts.name} has {', '.join(facts.categories)}" for facts in choosing)
    return f"must be a category of {owner}: {'; '.join(lists)}"


def _cannot(here: Sequence[Facts], able: Sequence[Facts]) -> str:
    return f"cannot be chosen with {_names(here)}, only with {_names(able)}"


def _names(facts: Sequence[Facts]) -> str:
    return ", ".join(each.name for each in facts)


def terms(name: str) -> dict[str, str | None]:
    """On what terms its questions may be passed on, as far as that is known."""
    facts = KNOWN.get(name)
    if facts is None:
        return {"licence": None, "attribution": None}
    return {"licence": facts.licence, "attribution": facts.attribution}
