"""Tags as an ID3v2.4 tag, which stands before an MP3's first frame.

A header of ten bytes, then frames: a text in UTF-8 behind another header of ten bytes. Sizes have
seven bits a byte ("syncsafe") and UTF-8 has no byte of eight ones, so that nothing in a tag can be
taken for the start of an MP3 frame.

Sources: "ID3 tag version 2.4.0 - Main Structure" (id3.org/id3v2.4.0-structure), 3.1, 4 and 6.2;
"- Native Frames" (id3.org/id3v2.4.0-frames), 4.2 and 4.10.
"""

from shared.tags import Tags

_UTF_8 = b"\3"

_FRAMES = {
    "title": (b"TIT2", b""),
    "artist": (b"TPE1", b""),
    "album": (b"TALB", b""),
    "date": (b"TDRC", b""),
    "genre": (b"TCON", b""),
    "comment": (b"COMM", b"XXX\0"),  # In a language that nobody knows, without a description.
    "track": (b"TRCK", b""),
    "copyright": (b"TCOP", b""),
    "subject": (b"TIT3", b""),
    "keywords": (b"TXXX", b"Keywords\0"),
    "language": (b"TLAN", b""),
    # Not TSSE, which names what made the MP3.
    "software": (b"TXXX", b"Software\0"),
    "encoded_by": (b"TENC", b""),
}
"""By field: a frame's id, and what stands in it before the text."""


def tag(tags: Tags) -> bytes:
    """Nothing at all when there is nothing to say."""
    frames = b"".join(_frame(field, text) for field, text in tags.to_json().items())
    if not frames:
        return b""
    version, flags = b"\4\0", b"\0"
    return b"ID3" + version + flags + _syncsafe(len(frames)) + frames


def _frame(field: str, text: str) -> bytes:
    name, before = _FRAMES[field]
    content = _UTF_8 + before + text.encode()
    flags = b"\0\0"
    return name + _syncsafe(len(content)) + flags + content


def _syncsafe(size: int) -> bytes:
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
