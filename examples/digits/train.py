#!/usr/bin/env python3
"""Trains the network of this example and writes its int8 weights to src/weights_*.h.

    python3 -m venv venv && venv/bin/pip install numpy
    venv/bin/python train.py

Trains on the first 1,437 images and holds out the last 360. That is harder than
drawing 360 at random: images that lie near each other in the data set resemble
each other, and a random draw puts such neighbours on both sides.

The network: 12 filters of 3x3 with ReLU, the maximum of each 2x2 square, 48
hidden units with ReLU, 10 scores. It is trained in floating point (Adam, cross
entropy, weight decay, a cosine step size) on images that are turned, stretched
and moved a little anew in every epoch, and then rounded to int8. Seeded and in
float64 with one thread: two runs write the same headers (half a minute).
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy: sums in one order

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
TRAINED_ON = 1437
FILTERS, HIDDEN, DIGITS = 12, 48, 10
FEATURES = 4 * 4 * FILTERS
SEED, EPOCHS, BATCH, STEP, DECAY = 1, 480, 64, 3e-3, 2e-3
SHIFT = 20  # of the fixed-point multipliers between layers


def load():
    records = np.frombuffer((HERE / "digits.bin").read_bytes(), np.uint8).reshape(-1, 65)
    return records[:, :64].reshape(-1, 8, 8), records[:, 64].astype(int)


def distort(images, random):
    """Turns, stretches, slants and moves every image a little (bilinear)."""
    count = len(images)
    angle = random.uniform(-0.25, 0.25, count)
    stretch = np.exp(random.uniform(-0.12, 0.12, (count, 2)))
    slant = random.uniform(-0.2, 0.2, count)
    move = random.uniform(-0.8, 0.8, (count, 2))
    row, column = np.mgrid[0:8, 0:8] - 3.5
    each = lambda values: values[:, None, None]
    x = (each(np.cos(angle)) * column + each(np.sin(angle)) * row + each(slant) * row) * each(stretch[:, 0])
    y = (-each(np.sin(angle)) * column + each(np.cos(angle)) * row) * each(stretch[:, 1])
    x, y = x + each(move[:, 0]) + 3.5, y + each(move[:, 1]) + 3.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right_share, lower_share = x - left, y - top
    padded = np.pad(images, ((0, 0), (8, 8), (8, 8)))
    index = np.arange(count)[:, None, None]
    at = lambda r, c: padded[index, np.clip(r + 8, 0, 23), np.clip(c + 8, 0, 23)]
    upper = at(top, left) * (1 - right_share) + at(top, left + 1) * right_share
    lower = at(top + 1, left) * (1 - right_share) + at(top + 1, left + 1) * right_share
    return upper * (1 - lower_share) + lower * lower_share


def patches(images):
    """The 3x3 surroundings of each pixel: (images, 8, 8, 9)."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    return np.stack([padded[:, r : r + 8, c : c + 8] for r in range(3) for c in range(3)], -1)


def squares(planes):
    """Groups (images, 8, 8, filters) into (images, 4, 4, filters, 4), a 2x2 square last."""
    count, filters = len(planes), planes.shape[-1]
    return planes.reshape(count, 4, 2, 4, 2, filters).transpose(0, 1, 3, 5, 2, 4).reshape(count, 4, 4, filters, 4)


def gradients(weights, images, labels):
    filters, filter_bias, dense, dense_bias, last, last_bias = weights
    count = len(images)
    surroundings = patches(images)
    squared = squares(surroundings @ filters + filter_bias)
    largest, pooled = squared.argmax(-1), np.maximum(squared.max(-1), 0)
    features = pooled.reshape(count, -1)
    hidden = np.maximum(features @ dense + dense_bias, 0)
    scores = hidden @ last + last_bias

    error = np.exp(scores - scores.max(1, keepdims=True))
    error /= error.sum(1, keepdims=True)
    error[np.arange(count), labels] -= 1
    error /= count
    of_last, of_last_bias = hidden.T @ error, error.sum(0)
    error = (error @ last.T) * (hidden > 0)
    of_dense, of_dense_bias = features.T @ error, error.sum(0)
    error = (error @ dense.T).reshape(pooled.shape) * (pooled > 0)
    spread = np.zeros(squared.shape)
    np.put_along_axis(spread, largest[..., None], error[..., None], -1)
    spread = spread.reshape(count, 4, 4, FILTERS, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(-1, FILTERS)
    of_filters, of_filter_bias = surroundings.reshape(-1, 9).T @ spread, spread.sum(0)
    return [
        of_filters + DECAY * filters, of_filter_bias,
        of_dense + DECAY * dense, of_dense_bias,
        of_last + DECAY * last, of_last_bias,
    ]


def train(images, labels):
    random = np.random.default_rng(SEED)
    weights = []
    for inputs, outputs in ((9, FILTERS), (FEATURES, HIDDEN), (HIDDEN, DIGITS)):
        weights += [random.normal(0, np.sqrt(2 / inputs), (inputs, outputs)), np.zeros(outputs)]
    mean, square = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    steps, step = EPOCHS * -(-len(images) // BATCH), 0
    for _ in range(EPOCHS):
        distorted, order = distort(images, random), random.permutation(len(images))
        for start in range(0, len(images), BATCH):
            batch = order[start : start + BATCH]
            step += 1
            rate = STEP * 0.5 * (1 + np.cos(np.pi * step / steps))
            for i, gradient in enumerate(gradients(weights, distorted[batch], labels[batch])):
                mean[i] = 0.9 * mean[i] + 0.1 * gradient
                square[i] = 0.999 * square[i] + 0.001 * gradient**2
                weights[i] -= rate * (mean[i] / (1 - 0.9**step)) / (np.sqrt(square[i] / (1 - 0.999**step)) + 1e-8)
    return weights


def to_int8(weights):
    """Rounds to -127..127 with one scale for the layer; returns it as well."""
    scale = np.abs(weights).max() / 127
    return np.rint(weights / scale).astype(np.int32), scale


def multiplier(ratio):
    return int(np.rint(ratio * (1 << SHIFT)))


def rescale(sums, factor):
    return np.clip((np.maximum(sums, 0).astype(np.int64) * factor + (1 << (SHIFT - 1))) >> SHIFT, 0, 255)


def quantise(weights, images):
    """Int8 weights, int32 biases, and fixed-point factors that fill 0..255 on the training images."""
    filters, filter_bias, dense, dense_bias, last, last_bias = weights
    pooled = np.maximum(squares(patches(images / 16) @ filters + filter_bias).max(-1), 0).reshape(len(images), -1)
    hidden = np.maximum(pooled @ dense + dense_bias, 0)
    feature_scale, hidden_scale = pooled.max() / 255, hidden.max() / 255
    (filters, s1), (dense, s2), (last, s3) = to_int8(filters), to_int8(dense), to_int8(last)
    bias = lambda values, scale: np.rint(values / scale).astype(np.int32)
    return {
        "filters": filters, "filter_bias": bias(filter_bias, s1 / 16),
        "feature_multiplier": multiplier(s1 / 16 / feature_scale),
        "dense": dense, "dense_bias": bias(dense_bias, s2 * feature_scale),
        "hidden_multiplier": multiplier(s2 * feature_scale / hidden_scale),
        "last": last, "last_bias": bias(last_bias, s3 * hidden_scale),
    }


def predict(q, images):
    """What the two C programs compute, integer for integer."""
    sums = squares(patches(images.astype(np.int32)) @ q["filters"] + q["filter_bias"]).max(-1)
    features = rescale(sums, q["feature_multiplier"]).reshape(len(images), -1)
    hidden = rescale(features @ q["dense"] + q["dense_bias"], q["hidden_multiplier"])
    return (hidden @ q["last"] + q["last_bias"]).argmax(1)


def numbers(values, width=20):
    items = [str(v) for v in values]
    return ",\n    ".join(", ".join(items[i : i + width]) for i in range(0, len(items), width))


def matrix(name, columns):
    rows = ",\n    ".join("{" + numbers(row).replace("\n    ", "\n     ") + "}" for row in columns.T)
    return f"static const int8_t {name}[{columns.shape[1]}][{columns.shape[0]}] = {{\n    {rows},\n}};\n"


def vector(name, values):
    return f"static const int32_t {name}[{len(values)}] = {{\n    {numbers(values, 10)},\n}};\n"


def write_headers(q):
    head = "// Written by train.py: do not edit.\n#include <stdint.h>\n\n"
    (HERE / "src" / "weights_features.h").write_text(
        head + f"#define FILTERS {FILTERS}\n"
        f"#define FEATURE_MULTIPLIER {q['feature_multiplier']}\n#define FEATURE_SHIFT {SHIFT}\n\n"
        + matrix("filter_weights", q["filters"]) + "\n" + vector("filter_bias", q["filter_bias"])
    )
    (HERE / "src" / "weights_classify.h").write_text(
        head + f"#define FEATURES {FEATURES}\n#define HIDDEN {HIDDEN}\n#define DIGITS {DIGITS}\n"
        f"#define HIDDEN_MULTIPLIER {q['hidden_multiplier']}\n#define HIDDEN_SHIFT {SHIFT}\n\n"
        + matrix("hidden_weights", q["dense"]) + "\n" + vector("hidden_bias", q["dense_bias"])
        + "\n" + matrix("score_weights", q["last"]) + "\n" + vector("score_bias", q["last_bias"])
    )


def main():
    images, labels = load()
    seen = np.arange(len(images)) < TRAINED_ON
    weights = train(images[seen] / 16, labels[seen])
    quantised = quantise(weights, images[seen])
    write_headers(quantised)
    right = predict(quantised, images) == labels
    for name, part in (("trained on", seen), ("held out", ~seen), ("all", seen | ~seen)):
        print(f"{name:10} {right[part].mean():.4f} ({right[part].sum()} of {part.sum()})")


if __name__ == "__main__":
    main()
