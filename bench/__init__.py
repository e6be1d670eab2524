"""Quaver beside the usual ways from WAV to MP3, measured in one run: `make bench`."""
