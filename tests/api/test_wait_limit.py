"""What a POST answers when its work takes longer than it waits."""

from tests import audio
from tests.api.problems import problem
from tests.jservice import JService, make_clues
from tests.stack import Api, User, eventually

BASE = "https://sound.example/quaver"


def local(url: str) -> str:
    """The path of a link that begins with the proxy's name."""
    assert url.startswith(f"{BASE}/")
    return url.removeprefix(BASE)


def state(api: Api, path: str) -> str:
    return str(api.get(path).json()["state"])


def test_a_long_conversion_is_accepted_with_its_link(alice: User, hasty: Api) -> None:
    answer = alice.elsewhere(hasty).upload(audio.make_wav(1))

    accepted = answer.json()
    assert answer.status_code == 202
    assert list(accepted) == ["url", "id", "user", "job"]
    assert accepted["url"] == f"{BASE}/record?id={accepted['id']}&user={alice.id}"
    assert answer.headers["location"] == accepted["job"]
    assert int(answer.headers["retry-after"]) > 0


def test_an_accepted_conversion_goes_on_and_its_link_works(alice: User, hasty: Api) -> None:
    accepted = alice.elsewhere(hasty).upload(audio.make_wav(1)).json()
    job = local(accepted["job"])

    eventually(lambda: state(hasty, job) == "done")

    download = hasty.get(local(accepted["url"]))
    result = hasty.get(job).json()["result"]
    assert len(audio.decoded(download.content, channels=2)) == 44_100
    assert result["url"] == accepted["url"]
    assert result["size"] == len(download.content)


def test_a_recording_is_not_ready_before_its_job_has_ended(alice: User, hasty: Api) -> None:
    accepted = alice.elsewhere(hasty).upload(audio.make_wav(60)).json()

    answer = hasty.get(local(accepted["url"]))

    assert problem(answer) == (409, "record-not-ready")
    eventually(lambda: state(hasty, local(accepted["job"])) == "done")


def test_a_long_collection_is_accepted_and_goes_on(hasty: Api, questions: JService) -> None:
    questions.clues = make_clues(1)

    answer = hasty.ask_questions(1)

    assert (answer.status_code, list(answer.json())) == (202, ["job"])
    assert answer.headers["location"] == answer.json()["job"]
    assert int(answer.headers["retry-after"]) > 0
    job = local(answer.json()["job"])
    eventually(lambda: state(hasty, job) == "done")
    assert hasty.get(job).json()["result"] == {}
