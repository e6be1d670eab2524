"""The chart that the README shows: the shorter a bar, the better."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench import memory
from bench.figures import Figures, Meanwhile, Race
from bench.markdown import megabytes
from bench.services import PLAIN, QUAVER
from bench.sounds import Sound
from bench.ways import FFMPEG, FFMPEG_VBR, LAME_VBR, POST, PYDUB

LABELS = {
    POST: "Quaver, POST /record",
    PLAIN: "plain FastAPI + pydub service",
    PYDUB: "pydub in process",
    FFMPEG: "ffmpeg in.wav out.mp3",
    FFMPEG_VBR: "ffmpeg -q:a 2",
    LAME_VBR: "lame -V2",
}
"""From top to bottom: services, then what they are made of."""

# Middle tones on no background: they stand out from white as well as from black.
OURS, SERVICE, PROGRAM, TEXT = "#0f9787", "#e08038", "#9aa4ae", "#727d89"
COLOURS = {POST: OURS, PLAIN: SERVICE}

DOTS_PER_INCH = 200
WIDTH, MARGIN, NAMES, GAP = 9.2, 0.08, 2.2, 0.22
HEADING, TITLES, BAR = 0.36, 0.42, 0.25
"""All in inches."""


@dataclass(frozen=True)
class Panel:
    """Bars under a title; the texts behind them say how long they are."""

    title: str
    subtitle: str
    values: Mapping[str, float]
    texts: Mapping[str, str]

    @property
    def longest(self) -> float:
        return max(self.values.values())


@dataclass(frozen=True)
class Row:
    """Panels under a heading, with the same ways in the same places."""

    heading: str
    panels: Sequence[Panel]
    is_relative: bool
    """All panels have the same scale, and a shadow as long as 1 behind each bar."""

    @property
    def ways(self) -> list[str]:
        return [way for way in LABELS if any(way in panel.values for panel in self.panels)]

    def scale(self, panel: Panel) -> float:
        """The value at the panel's right end, with room for the number behind the longest bar."""
        if self.is_relative:
            return 1.32 * max(other.longest for other in self.panels)
        return 1.7 * panel.longest

    @property
    def inches(self) -> float:
        return HEADING + TITLES + BAR * len(self.ways)


def draw(figures: Figures, path: Path) -> None:
    """Save it as a PNG."""
    conversions = [_conversion(sound, race) for sound, race in figures.races.items()]
    rows = [
        Row("Wall time, relative to ffmpeg in.wav out.mp3", conversions, is_relative=True),
        Row("Under load", [*_under_load(figures)], is_relative=False),
    ]
    rows = [row for row in rows if row.panels]
    top = height = sum(MARGIN + row.inches for row in rows) + MARGIN
    figure = Figure((WIDTH, height))
    FigureCanvasAgg(figure)
    right, highest = 1 - MARGIN / WIDTH, 1 - (MARGIN + HEADING / 2) / height
    figure.text(right, highest, "shorter is better", ha="right", **_style(9))
    for row in rows:
        top -= MARGIN
        _draw_row(figure, row, top)
        top -= row.inches
    figure.savefig(path, dpi=DOTS_PER_INCH, transparent=True)


def _conversion(sound: Sound, race: Race) -> Panel:
    values = {way: race[way].ratio(race[FFMPEG]) for way in LABELS if way in race}
    texts = {way: f"{ratio:.2f}" for way, ratio in values.items()}
    return Panel(f"{sound.seconds} s", _kind(sound), values, texts)


def _kind(sound: Sound) -> str:
    return f"{sound.sample_rate_hz / 1000:g} kHz {'mono' if sound.channels == 1 else 'stereo'}"


def _under_load(figures: Figures) -> Iterator[Panel]:
    if rushes := figures.rushes:
        served = {way: median(rush.seconds) for way, rush in rushes.items()}
        each = f"{rushes[POST].sound.name} each, all served"
        yield Panel(f"{rushes[POST].clients} clients at once", each, served, _in_seconds(served))
    if figures.meanwhile:
        lectures = {POST: figures.meanwhile[QUAVER], PLAIN: figures.meanwhile[PLAIN]}
        yield _lecture(lectures)
        notes = {way: median(each.uploads) for way, each in lectures.items()}
        title = f"{lectures[POST].note.name} meanwhile"
        yield Panel(title, "median of uploads", notes, _in_seconds(notes))
        yield _memory(figures.peaks())


def _lecture(lectures: Mapping[str, Meanwhile]) -> Panel:
    """The time that the long recording took; one that was sent a shorter one says so."""
    sound = lectures[POST].sound
    values = {way: each.seconds for way, each in lectures.items()}
    texts = {
        way: f"{each.seconds:.0f} s" + (f", {each.sound.name}" if each.sound != sound else "")
        for way, each in lectures.items()
    }
    return Panel(f"{sound.seconds / 3600:g} h", _kind(sound), values, texts)


def _memory(peaks: Mapping[str, int]) -> Panel:
    values = {POST: peaks[memory.total(QUAVER)], PLAIN: peaks[memory.total(PLAIN)]}
    texts = {way: megabytes(size) for way, size in values.items()}
    return Panel("Peak memory", "all its processes", values, texts)


def _in_seconds(values: Mapping[str, float]) -> dict[str, str]:
    return {way: f"{value:.2f} s" for way, value in values.items()}


def _draw_row(figure: Figure, row: Row, top: float) -> None:
    """`top` is in inches from below."""
    width, height = figure.get_size_inches()
    middle = (top - HEADING / 2) / height
    figure.text(MARGIN / width, middle, row.heading, **_style(11.5, bold=True))
    each = (width - MARGIN - NAMES) / len(row.panels)
    for number, panel in enumerate(row.panels):
        left, bottom = NAMES + GAP + number * each, top - row.inches
        bars = (each - GAP, BAR * len(row.ways))
        axes = figure.add_axes((left / width, bottom / height, bars[0] / width, bars[1] / height))
        _draw_panel(axes, panel, row)
        if number == 0:
            for place, way in enumerate(row.ways):
                _write(axes, LABELS[way], (0, place), (-8, 0), ha="right", **_voice(way))


def _draw_panel(axes: Axes, panel: Panel, row: Row) -> None:
    top = -0.5
    axes.set_axis_off()
    axes.set_xlim(0, row.scale(panel))
    axes.set_ylim(top + len(row.ways), top)
    _write(axes, panel.title, (0, top), (0, 20), **_style(10, bold=True))
    _write(axes, panel.subtitle, (0, top), (0, 7), **_style(8))
    shadow = 1.0 if row.is_relative else 0.0
    for way, value in panel.values.items():
        place = row.ways.index(way)
        axes.barh(place, shadow, height=0.64, color=PROGRAM, alpha=0.2, linewidth=0)
        axes.barh(place, value, height=0.64, color=COLOURS.get(way, PROGRAM), linewidth=0)
        _write(axes, panel.texts[way], (max(value, shadow), place), (4, 0), **_voice(way))


def _write(
    axes: Axes, text: str, at: tuple[float, float], points_off: tuple[float, float], **style: Any
) -> None:
    axes.annotate(text, at, points_off, textcoords="offset points", **style)


def _voice(way: str) -> dict[str, Any]:
    """How a way's name and numbers look."""
    is_ours = way == POST
    return _style(9.2, bold=is_ours) | ({"color": OURS} if is_ours else {})


def _style(size: float, *, bold: bool = False) -> dict[str, Any]:
    weight = "bold" if bold else "normal"
    return {"color": TEXT, "fontsize": size, "fontweight": weight, "va": "center_baseline"}
