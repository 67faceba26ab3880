#!/usr/bin/env python3
"""Writes digits.bin from the copy of the UCI handwritten digits inside scikit-learn.

    python3 -m venv venv && venv/bin/pip install scikit-learn
    venv/bin/python convert.py

A record is 65 bytes: 64 pixels of 0..16, row by row, then the true digit.
The order of the images is that of the data set.
"""

from pathlib import Path

from sklearn.datasets import load_digits

pixels, labels = load_digits(return_X_y=True)
records = b"".join(bytes(int(v) for v in image) + bytes([int(digit)]) for image, digit in zip(pixels, labels))
assert len(records) == 1797 * 65
Path(__file__).with_name("digits.bin").write_bytes(records)
