"""What a WAV's `fmt ` chunk says about its samples: WAVEFORMAT to WAVEFORMATEXTENSIBLE of mmreg.h.

A header that cannot be true is refused here, so that nobody behind needs to doubt it.
"""

import struct
import uuid
from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum

from shared.errors import InvalidWav, UnsupportedWavCodec

MAX_CHANNELS = 32
MIN_SAMPLE_RATE_HZ = 4_000
MAX_SAMPLE_RATE_HZ = 768_000

MIN_BYTES = 16
MAX_BYTES = 18 + 0xFFFF
"""Of the chunk: WAVEFORMATEX and the longest extension that it can announce."""

_EXTENSIBLE = 0xFFFE
_EXTENSION_BYTES = 22
_SUBFORMAT_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # After the format tag, in a GUID.


class Codec(StrEnum):
    """How samples are written in the data chunk."""

    PCM = "pcm"
    FLOAT = "float"
    ALAW = "alaw"
    MULAW = "mulaw"
    MS_ADPCM = "ms_adpcm"
    IMA_ADPCM = "ima_adpcm"
    OKI_ADPCM = "oki_adpcm"
    YAMAHA_ADPCM = "yamaha_adpcm"
    G722 = "g722"
    G726 = "g726"
    GSM610 = "gsm610"
    MP2 = "mp2"
    MP3 = "mp3"


SAMPLE_BY_SAMPLE = frozenset({Codec.PCM, Codec.FLOAT, Codec.ALAW, Codec.MULAW})
"""Codecs in which any sample can be read without the ones before it."""

MPEG = frozenset({Codec.MP2, Codec.MP3})
"""Codecs whose frames differ in size, so that only decoding tells how long the sound is."""

PREDICTIVE = frozenset({Codec.G722, Codec.G726})
"""Codecs that lean on all samples before, the less the longer ago those were."""

_PACKED = PREDICTIVE | {Codec.OKI_ADPCM, Codec.YAMAHA_ADPCM}
"""Codecs that write a few bits for each sample and nothing else."""

_CODECS = {
    0x0001: Codec.PCM,
    0x0002: Codec.MS_ADPCM,
    0x0003: Codec.FLOAT,
    0x0006: Codec.ALAW,
    0x0007: Codec.MULAW,
    0x0010: Codec.OKI_ADPCM,
    0x0011: Codec.IMA_ADPCM,
    0x0017: Codec.OKI_ADPCM,  # Dialogic's number for it.
    0x0020: Codec.YAMAHA_ADPCM,
    0x0031: Codec.GSM610,
    0x0045: Codec.G726,
    0x0050: Codec.MP2,
    0x0055: Codec.MP3,
    0x0064: Codec.G726,
    0x028F: Codec.G722,
}

_WHAT_TO_DO = "save it as PCM of 16 or 24 bits and send that"

_GSM_BLOCK_BYTES = 65  # Two GSM frames of 260 bits, as Microsoft packs them.
_GSM_BLOCK_SAMPLE_FRAMES = 320

_MONO = PREDICTIVE | {Codec.GSM610}

_BITS: dict[Codec, Container[int]] = {
    Codec.PCM: (*range(1, 33), 64),
    Codec.FLOAT: (32, 64),
    Codec.ALAW: (8,),
    Codec.MULAW: (8,),
    Codec.MS_ADPCM: (4,),
    Codec.IMA_ADPCM: (4,),
    Codec.OKI_ADPCM: (4,),
    Codec.YAMAHA_ADPCM: (4,),
    Codec.G726: (2, 3, 4),  # ffmpeg decodes 5 bits unlike the ITU: half the sound is error.
}
"""The sample sizes that can be decoded, where a codec has any."""

_NAMES_OF_OTHERS = {
    0x0005: "IBM CVSD",
    0x0014: "G.723 ADPCM",
    0x0016: "G.726 ADPCM",
    0x0022: "DSP Group TrueSpeech",
    0x0038: "NMS VBX ADPCM",
    0x0040: "G.721 ADPCM",
    0x0042: "G.723.1",
    0x0065: "G.722 ADPCM",
    0x0083: "G.729",
    0x00FF: "AAC",
    0x0130: "ACELP.net",
    0x0160: "Windows Media Audio 1",
    0x0161: "Windows Media Audio 2",
    0x0162: "Windows Media Audio Professional",
    0x0163: "Windows Media Audio Lossless",
    0x1610: "HE-AAC",
    0x2000: "AC-3",
    0x2001: "DTS",
    0x566F: "Vorbis",
    0x674F: "Ogg Vorbis",
    0xA109: "Speex",
    0xF1AC: "FLAC",
}


@dataclass(frozen=True)
class Format:
    """What the `fmt ` chunk says, checked."""

    codec: Codec
    format_tag: int
    """As in the file, or as its GUID says where the file says WAVE_FORMAT_EXTENSIBLE."""
    channels: int
    channel_mask: int
    """dwChannelMask; 0 where none is given."""
    sample_rate_hz: int
    bits: int
    """Size of a sample's container. Compressed: as the header has it."""
    valid_bits: int
    """How many of them count; the upper ones, for samples are left-justified."""
    block_align_bytes: int
    fmt_extra: bytes
    """The extension that a compressed codec's decoder needs; empty for the others."""

    @property
    def block_sample_frames(self) -> int | None:
        """Sample frames in a block of `block_align_bytes`; None where blocks differ (MPEG)."""
        return self.sample_frames_in(self.block_align_bytes)

    def sample_frames_in(self, size_bytes: int) -> int | None:
        """Sample frames in that many bytes from the start of a block; None if unknown (MPEG).

        A short last block counts as far as it goes, as decoders treat it, except that GSM 6.10
        cannot be decoded in parts.
        """
        blocks, rest_bytes = divmod(size_bytes, self.block_align_bytes)
        match self.codec:
            case Codec.MP2 | Codec.MP3:
                return None
            case packed if packed in _PACKED:
                return size_bytes * 8 // (self.bits * self.channels)
            case Codec.MS_ADPCM:
                return blocks * self._ms_adpcm(self.block_align_bytes) + self._ms_adpcm(rest_bytes)
            case Codec.IMA_ADPCM:
                return blocks * self._ima(self.block_align_bytes) + self._ima(rest_bytes)
            case Codec.GSM610:
                return blocks * _GSM_BLOCK_SAMPLE_FRAMES
            case _:
                return blocks

    def usable_bytes(self, size_bytes: int) -> int:
        """That many bytes without a rest that holds no sample frame."""
        rest_bytes = size_bytes % self.block_align_bytes
        return size_bytes - rest_bytes if self.sample_frames_in(rest_bytes) == 0 else size_bytes

    def _ms_adpcm(self, block_bytes: int) -> int:
        """7 bytes per channel hold two samples and the state, each further byte holds two."""
        if block_bytes < 7 * self.channels:
            return 0
        return 2 + (block_bytes - 7 * self.channels) * 2 // self.channels

    def _ima(self, block_bytes: int) -> int:
        """4 bytes per channel hold a sample and the state, each further four hold eight."""
        if block_bytes < 4 * self.channels:
            return 0
        return 1 + (block_bytes - 4 * self.channels) // (4 * self.channels) * 8


def parse(body: bytes) -> Format:
    """WAVEFORMAT, WAVEFORMATEX or WAVEFORMATEXTENSIBLE, checked."""
    tag, channels, rate_hz, _, block_align, bits = struct.unpack_from("<HHIIHH", body)
    extra = body[18 : 18 + int.from_bytes(body[16:18], "little")]
    valid_bits, mask = bits, 0
    if tag == _EXTENSIBLE:
        # The extension's own size is sometimes wrong; its 22 bytes are there or not.
        tag, valid_bits, mask = _parse_extension(body[18 : 18 + _EXTENSION_BYTES])
        extra = extra[_EXTENSION_BYTES:]
    codec = _codec(tag, bits)
    _check_channels(codec, channels)
    _check_range("samples per second", rate_hz, MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ)
    if not _layout_is_possible(codec, channels, bits, block_align):
        raise InvalidWav(
            f"The WAV's header contradicts itself: blocks of {block_align} bytes cannot hold "
            f"{channels} channels of {bits} bits ({codec}); export it again."
        )
    if codec in SAMPLE_BY_SAMPLE:
        bits, extra = 8 * block_align // channels, b""
        _check_range("valid bits per sample", valid_bits, 0, bits)
    elif codec in PREDICTIVE:
        # G.722 has two samples in a byte, whatever is said. There are no blocks: what counts is
        # after how many bytes a sample begins where a byte does.
        bits = valid_bits = block_align = 4 if codec is Codec.G722 else bits
    else:
        valid_bits = bits
    return Format(
        codec=codec,
        format_tag=tag,
        channels=channels,
        channel_mask=mask,
        sample_rate_hz=rate_hz,
        bits=bits,
        valid_bits=valid_bits or bits,
        block_align_bytes=max(block_align, 1),
        fmt_extra=extra,
    )


def _parse_extension(extension: bytes) -> tuple[int, int, int]:
    """Format tag, valid bits and channel mask of WAVE_FORMAT_EXTENSIBLE.

    Its first field counts bits for PCM, and samples per block for compressed codecs.
    """
    if len(extension) < _EXTENSION_BYTES:
        raise InvalidWav("The WAV's extensible `fmt ` chunk is too short; export it again.")
    valid_bits, mask, tag = struct.unpack_from("<HIH", extension)
    if extension[8:] != _SUBFORMAT_TAIL:
        guid = uuid.UUID(bytes_le=extension[6:])
        raise UnsupportedWavCodec(
            f"The WAV's codec has the GUID {guid}, which cannot be decoded here; {_WHAT_TO_DO}."
        )
    return tag, valid_bits, mask


def _codec(tag: int, bits: int) -> Codec:
    name = _NAMES_OF_OTHERS.get(tag, "unknown to this service")
    if codec := _CODECS.get(tag):
        if codec not in _BITS:
            return codec
        _check_range("bits per sample", bits, 1, 64)
        if bits in _BITS[codec]:
            return codec
        name = f"{codec} of {bits} bits"
    raise UnsupportedWavCodec(
        f"The WAV's codec has the format tag 0x{tag:04X} ({name}), "
        f"which cannot be decoded here; {_WHAT_TO_DO}."
    )


def _check_channels(codec: Codec, channels: int) -> None:
    _check_range("channels", channels, 1, MAX_CHANNELS)
    most = 1 if codec in _MONO else MAX_CHANNELS if codec in SAMPLE_BY_SAMPLE else 2
    if channels > most:
        raise UnsupportedWavCodec(
            f"The WAV has {channels} channels of {codec}, and no more than {most} can be decoded "
            f"here; {_WHAT_TO_DO}."
        )


def _check_range(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidWav(
            f"The WAV's header says {value} {what}, and {least} to {most} are possible; "
            "export it again."
        )


def _layout_is_possible(codec: Codec, channels: int, bits: int, block_align: int) -> bool:
    """Whether so many channels of so many bits make blocks of that size."""
    match codec:
        case Codec.PCM:
            least_bytes = (bits + 7) // 8
            # Sizes that are no container's own, and 24 bits, may lie in one of 32.
            containers = {least_bytes, 4} if bits % 8 or bits == 24 else {least_bytes}  # noqa: PLR2004
            return block_align in {channels * container_bytes for container_bytes in containers}
        case Codec.FLOAT | Codec.ALAW | Codec.MULAW:
            return block_align * 8 == channels * bits
        case Codec.MS_ADPCM:
            return block_align >= 7 * channels
        case Codec.IMA_ADPCM:
            return block_align > 0 and block_align % (4 * channels) == 0
        case Codec.GSM610:
            return block_align == _GSM_BLOCK_BYTES
        case _:
            return True
