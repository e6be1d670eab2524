"""What a newcomer does in the first ten minutes, and what goes wrong in the first year."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from tests.acceptance.product import PROCESSES, Product, eventually
from tests.audio import decoded, make_wav


def upload_arguments(product: Product, user: dict[str, Any], path: Path) -> list[str]:
    form = {"user": user["id"], "token": user["token"], "file": f"@{path}"}
    fields = [part for name, value in form.items() for part in ("-F", f"{name}={value}")]
    return [*fields, f"{product.url}/record"]


def running_in(folder: Path) -> list[psutil.Process]:
    """Processes that work on the data in this folder, by their environment or arguments."""

    def belongs(process: psutil.Process) -> bool:
        try:
            words = [*process.environ().values(), *process.cmdline()]
        except psutil.Error:
            return False
        return process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in w for w in words)

    return [process for process in psutil.process_iter() if belongs(process)]


def test_a_recording_comes_back_as_an_mp3_of_the_same_length(
    product: Product, tmp_path: Path
) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(make_wav(2.5, sample_rate_hz=44_100, channels=2))
    ann = product.new_user("Ann")

    added = product.curl(*upload_arguments(product, ann, path))
    record = added.json()
    download = product.get(record["url"])

    assert (added.status, record["duration"], record["filename"]) == (201, 2.5, "speech.mp3")
    assert download.headers["content-type"] == "audio/mpeg"
    assert len(decoded(download.body, channels=2)) == 2.5 * 44_100
    assert product.get(record["job"]).json()["result"] == record


def test_plain_bytes_with_a_bearer_token_will_do(product: Product, tmp_path: Path) -> None:
    path = tmp_path / "note.wav"
    path.write_bytes(make_wav(0.5, sample_rate_hz=8_000, channels=1))
    bob = product.new_user("Bob")

    added = product.curl(
        *("-H", f"Authorization: Bearer {bob['token']}"),
        *("--data-binary", f"@{path}"),
        f"{product.url}/record?user={bob['id']}&filename=note.wav",
    )

    assert (added.status, added.json()["filename"]) == (201, "note.mp3")


def test_questions_form_an_unbroken_chain_when_asked_for_at_once(product: Product) -> None:
    before = product.ask("/questions", {"questions_num": 1}).get("id", 0)

    with ThreadPoolExecutor(20) as threads:
        answers = list(
            threads.map(lambda _: product.ask("/questions", {"questions_num": 10}), range(20))
        )

    assert sorted(answer["id"] for answer in answers) == [before + 1 + 10 * n for n in range(20)]


def test_questions_are_of_the_category_that_was_asked_for(product: Product) -> None:
    product.ask("/questions", {"questions_num": 3, "category": "physics"})

    newest = product.ask("/questions", {"questions_num": 1})

    assert newest["category"] == "Physics"


def test_flower_lists_the_jobs_by_name_with_ids_alone(product: Product, tmp_path: Path) -> None:
    path = tmp_path / "secret-name.wav"
    path.write_bytes(make_wav(0.2))
    carol = product.new_user("Carol")
    arguments = ["-H", "X-Request-ID: carols-own", *upload_arguments(product, carol, path)]
    job = product.curl(*arguments).json()["job"].rpartition("/")[2]

    def task() -> Any:
        return product.get(f"{product.flower_url}/api/tasks").json().get(job)

    seen = eventually(lambda: (found := task()) and found["state"] == "SUCCESS" and found)

    assert (seen["name"], job in seen["args"]) == ("records.convert", True)
    assert "carols-own" in seen["kwargs"]
    assert carol["token"] not in json.dumps(seen)
    assert "secret-name" not in json.dumps(seen)


def test_each_process_has_its_pid_file(product: Product) -> None:
    for name in PROCESSES:
        assert psutil.pid_exists(product.pid_of(name))


def test_a_second_start_on_the_same_data_is_refused(product: Product) -> None:
    second = Product(product.folder / "second", DATA_DIR=str(product.data))
    second.folder.mkdir()

    second.spawn()

    assert second.process.wait(60) == 1
    assert "running already" in second.output()


def test_a_killed_process_is_started_again(product: Product) -> None:
    product.ask("/questions", {"questions_num": 1})

    for name in ("api", "worker-questions", "redis", "postgres"):
        killed = product.pid_of(name)
        product.kill(name)

        def is_back(name: str = name, killed: int = killed) -> bool:
            return product.pid_of(name) != killed

        eventually(is_back)

    eventually(product.is_ready)
    assert product.ask("/questions", {"questions_num": 1}) != {}


def test_a_worker_killed_in_mid_conversion_costs_the_client_nothing(
    product: Product, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(make_wav(300))
    dora = product.new_user("Dora")
    curl = product.curl_in_background(*upload_arguments(product, dora, path))
    eventually(lambda: product.query("SELECT 1 FROM jobs WHERE progress BETWEEN 0.01 AND 0.9"))

    product.kill("worker-records")
    added = product.finish(curl)

    assert added.status == 201
    assert product.get(added.json()["job"]).json()["state"] == "done"
    assert list((product.data / "uploads").iterdir()) == []
    segments = product.query("SELECT attempt FROM jobs WHERE kind = 'records.encode_segment'")
    assert max(segments) == (2,)  # Those that were at work,
    assert segments.count((2,)) <= 2 < len(segments)  # and no others.


def test_a_short_recording_does_not_wait_behind_a_long_one(
    product: Product, tmp_path: Path
) -> None:
    note, lecture = tmp_path / "note.wav", tmp_path / "lecture.wav"
    note.write_bytes(make_wav(1))
    lecture.write_bytes(make_wav(3_600, sample_rate_hz=8_000, channels=1))
    fred = product.new_user("Fred")
    curl = product.curl_in_background(*upload_arguments(product, fred, lecture))
    eventually(lambda: product.query("SELECT 1 FROM jobs WHERE state = 'waiting'"))

    added = product.curl(*upload_arguments(product, fred, note))

    assert added.status == 201
    assert product.query("SELECT 1 FROM jobs WHERE state = 'waiting'")
    assert product.finish(curl).status == 201


def test_what_was_accepted_survives_a_kill_of_everything(folder: Path) -> None:
    path = folder / "long.wav"
    path.write_bytes(make_wav(300))
    product = Product(folder, RECORD_WAIT_SECONDS="0")
    product.start()
    record = product.curl(*upload_arguments(product, product.new_user("Eve"), path)).json()

    product.kill_everything()
    eventually(lambda: running_in(folder) == [])
    product.start()
    done = eventually(lambda: (job := product.get(record["job"]).json())["state"] == "done" and job)

    assert done["result"]["url"] == record["url"]
    assert len(product.get(record["url"]).body) == done["result"]["size"]
    assert product.stop() == 0


def test_ctrl_c_leaves_nothing_running_and_the_data_stay(folder: Path) -> None:
    product = Product(folder)
    product.start()
    ann = product.new_user("Ann")

    code = product.stop(signal.SIGINT)

    assert code == 0
    assert running_in(folder) == []
    assert list((product.data / "run").iterdir()) == []
    product.start()
    assert (
        product.curl(
            *("-H", "Content-Type: application/json", "-d", '{"name": "ann"}'),
            f"{product.url}/users",
        ).status
        == 409
    )
    assert ann["id"] == 1
    assert product.stop() == 0


def test_a_taken_port_is_named_before_anything_starts(product: Product, folder: Path) -> None:
    port = product.url.rpartition(":")[2]
    second = Product(folder, PORT=port)

    second.spawn()

    assert second.process.wait(60) == 1
    assert f"Port {port} is taken" in second.output()
    assert "PORT" in second.output()
    assert not (folder / "data" / "postgres").exists()
