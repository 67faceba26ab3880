// Layers 2 and 3 of the network: 192 features to 48 hidden values to ten
// scores; the digit with the highest score is the answer.
//
//   /in                     192 features of 0..255, then the true digit (193 bytes)
//   /out/predictions.csv    one line an image, in order: true digit, predicted digit
//
// The true digit is written beside the prediction and used for nothing else.
// Integers only, so that every machine computes the same bytes.
#include <stdlib.h>

#include "job.h"
#include "weights_classify.h"

#define FEATURE_RECORD (FEATURES + 1)

static const char output_path[] = "/out/predictions.csv";

static uint8_t to_hidden(int32_t sum) {
    if (sum <= 0)
        return 0;
    int64_t scaled = ((int64_t)sum * HIDDEN_MULTIPLIER + (1 << (HIDDEN_SHIFT - 1))) >> HIDDEN_SHIFT;
    return scaled > 255 ? 255 : (uint8_t)scaled;
}

static int predict(const uint8_t *features) {
    uint8_t hidden[HIDDEN];
    for (int unit = 0; unit < HIDDEN; unit++) {
        int32_t sum = hidden_bias[unit];
        for (int i = 0; i < FEATURES; i++)
            sum += hidden_weights[unit][i] * features[i];
        hidden[unit] = to_hidden(sum);
    }
    int best = 0;
    int32_t highest = INT32_MIN;
    for (int digit = 0; digit < DIGITS; digit++) {
        int32_t score = score_bias[digit];
        for (int unit = 0; unit < HIDDEN; unit++)
            score += score_weights[digit][unit] * hidden[unit];
        if (score > highest) { // of equals the lower digit, always
            highest = score;
            best = digit;
        }
    }
    return best;
}

int main(int argc, char **argv) {
    (void)argv;
    job_start("classify");
    if (argc != 1)
        job_fail("takes no arguments");

    struct job_files files = job_read_all("/in");
    FILE *output = job_create(output_path);
    size_t images = 0, right = 0;
    for (size_t i = 0; i < files.count; i++) {
        const struct job_file *file = &files.items[i];
        if (file->size == 0 || file->size % FEATURE_RECORD != 0)
            job_fail("%s has %zu bytes: want one or more records of %d bytes", file->path, file->size, FEATURE_RECORD);
        for (size_t at = 0; at < file->size; at += FEATURE_RECORD, images++) {
            int label = file->bytes[at + FEATURES];
            if (label > 9)
                job_fail("%s: record %zu has the label %d, more than 9", file->path, at / FEATURE_RECORD, label);
            int prediction = predict(file->bytes + at);
            right += prediction == label;
            fprintf(output, "%d,%d\n", label, prediction);
        }
    }
    job_close(output, output_path);
    printf("%zu of %zu right\n", right, images);
    return 0;
}
