// Adds up the counts of all shards of the stage before.
//
//   /in/00000/counts.tsv, /in/00001/counts.tsv, ...    one folder for each shard
//   /out/counts.tsv     one line a word, the most frequent first, then by word
//
// It reads every file below /in alike, so the number of shards does not matter.
#include <string.h>

#include "job.h"
#include "text.h"

static const char output_path[] = "/out/counts.tsv";

static void add_line(struct words *words, const struct job_file *file, const char *what, size_t number, char *line,
                     size_t length) {
    char *tab = memchr(line, '\t', length);
    // A count has at most 20 digits.
    char digits[21];
    size_t digit_count = tab ? length - (size_t)(tab - line) - 1 : 0;
    if (!tab || tab == line || digit_count == 0 || digit_count >= sizeof digits)
        job_fail("%s: line %zu is not a word, a tab and a count", file->path, number);
    memcpy(digits, tab + 1, digit_count);
    digits[digit_count] = 0;
    words_add(words, line, (size_t)(tab - line), job_number(what, digits, 1, UINT64_MAX));
}

static void add_file(struct words *words, const struct job_file *file) {
    char *at = (char *)file->bytes, *end = at + file->size;
    char what[256];
    snprintf(what, sizeof what, "a count in %s", file->path);
    for (size_t number = 1; at < end; number++) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        if (!newline)
            job_fail("%s: line %zu has no end: the file was cut short", file->path, number);
        add_line(words, file, what, number, at, (size_t)(newline - at));
        at = newline + 1;
    }
}

int main(int argc, char **argv) {
    (void)argv;
    job_start("gather");
    if (argc != 1)
        job_fail("takes no arguments");

    struct job_files files = job_read_all("/in");
    struct words words = {0};
    for (size_t i = 0; i < files.count; i++)
        add_file(&words, &files.items[i]);
    words_sort_by_count(&words);
    words_write(&words, output_path);
    printf("%zu files, %zu different words\n", files.count, words.used);
    return 0;
}
