from pathlib import Path

import pytest
from matplotlib import image

from bench import chart
from bench.figures import Figures
from bench.sounds import Sound
from tests.bench.examples import make_figures, make_race


@pytest.fixture(name="path")
def fixture_path(tmp_path: Path) -> Path:
    return tmp_path / "chart.png"


def test_the_background_is_the_readers(path: Path) -> None:
    chart.draw(make_figures(), path)

    pixels = image.imread(path)
    assert pixels.shape[1] == round(chart.WIDTH * chart.DOTS_PER_INCH)
    assert pixels[0, 0, 3] == 0
    assert pixels[..., 3].max() == 1


def test_a_quick_run_has_a_row_of_ways_alone(path: Path) -> None:
    chart.draw(make_figures(), path)
    whole = image.imread(path)

    chart.draw(Figures(races={Sound(3): make_race()}), path)

    assert image.imread(path).shape[0] < whole.shape[0]


def test_bars_are_multiples_of_ffmpegs_time() -> None:
    panel = chart._conversion(Sound(10), make_race())

    assert panel.texts["POST /record"] == "0.50"
    assert panel.texts["ffmpeg in.wav out.mp3"] == "1.00"
    assert panel.texts["plain service"] == "2.00"
