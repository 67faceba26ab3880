// Layer 1 of the network: twelve 3x3 filters over an 8x8 image, then the
// maximum of each 2x2 square. One image in, 4 * 4 * 12 = 192 features out.
//
//   /in           images:   64 pixels of 0..16, then the true digit 0..9 (65 bytes)
//   /out/features.bin       192 features of 0..255, then the true digit  (193 bytes)
//
// The true digit is carried through untouched: this layer never looks at it.
// Integers only, so that every machine computes the same bytes.
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "weights_features.h"

#define SIDE 8
#define PIXELS (SIDE * SIDE)
#define IMAGE_RECORD (PIXELS + 1)
#define BRIGHTEST 16
#define POOLED_SIDE (SIDE / 2)
#define FEATURES (POOLED_SIDE * POOLED_SIDE * FILTERS)

static const char output_path[] = "/out/features.bin";

static int32_t pixel_at(const uint8_t *image, int row, int column) {
    if (row < 0 || row >= SIDE || column < 0 || column >= SIDE)
        return 0;
    return image[row * SIDE + column];
}

static int32_t filtered(const uint8_t *image, int row, int column, int filter) {
    int32_t sum = filter_bias[filter];
    for (int tap = 0; tap < 9; tap++)
        sum += filter_weights[filter][tap] * pixel_at(image, row + tap / 3 - 1, column + tap % 3 - 1);
    return sum;
}

static uint8_t to_feature(int32_t sum) {
    if (sum <= 0)
        return 0;
    int64_t scaled = ((int64_t)sum * FEATURE_MULTIPLIER + (1 << (FEATURE_SHIFT - 1))) >> FEATURE_SHIFT;
    return scaled > 255 ? 255 : (uint8_t)scaled;
}

static void compute(const uint8_t *image, uint8_t *features) {
    for (int row = 0; row < POOLED_SIDE; row++)
        for (int column = 0; column < POOLED_SIDE; column++)
            for (int filter = 0; filter < FILTERS; filter++) {
                int32_t largest = INT32_MIN;
                for (int corner = 0; corner < 4; corner++) {
                    int32_t sum = filtered(image, row * 2 + corner / 2, column * 2 + corner % 2, filter);
                    if (sum > largest)
                        largest = sum;
                }
                *features++ = to_feature(largest);
            }
}

static void check(const struct job_file *file) {
    if (file->size == 0 || file->size % IMAGE_RECORD != 0)
        job_fail("%s has %zu bytes: want one or more records of %d bytes", file->path, file->size, IMAGE_RECORD);
    for (size_t i = 0; i < file->size; i++) {
        int is_label = i % IMAGE_RECORD == PIXELS;
        int most = is_label ? 9 : BRIGHTEST;
        if (file->bytes[i] > most)
            job_fail("%s: record %zu has the %s %d, more than %d", file->path, i / IMAGE_RECORD,
                     is_label ? "label" : "pixel", file->bytes[i], most);
    }
}

int main(int argc, char **argv) {
    job_start("features");
    // Says which layer the stage expects here, so that a contract that names
    // the wrong module fails with a sentence and not with odd results.
    if (argc != 3 || strcmp(argv[1], "--layer"))
        job_fail("want the arguments --layer 1");
    if (job_number("--layer", argv[2], 0, UINT32_MAX) != 1)
        job_fail("this module holds layer 1, not layer %s", argv[2]);

    struct job_files files = job_read_all("/in");
    FILE *output = job_create(output_path);
    size_t images = 0;
    for (size_t i = 0; i < files.count; i++) {
        check(&files.items[i]);
        for (size_t at = 0; at < files.items[i].size; at += IMAGE_RECORD, images++) {
            const uint8_t *image = files.items[i].bytes + at;
            uint8_t features[FEATURES + 1];
            compute(image, features);
            features[FEATURES] = image[PIXELS];
            fwrite(features, 1, sizeof features, output);
        }
    }
    job_close(output, output_path);
    printf("%zu images\n", images);
    return 0;
}
