// Counts the words of this shard's files.
//
//   /in                 texts in UTF-8, in any folders
//   /out/counts.tsv     one line a word, sorted by word: word, tab, count
//
// A word is a run of letters, with single apostrophes inside it: "don't" is one
// word, 'tis' in quotes is "tis". ASCII letters are made lower case. Letters are
// those of ASCII and every code point from U+00C0 up but the multiplication and
// division signs and U+2000..U+206F (general punctuation).
#include <string.h>

#include "job.h"
#include "text.h"

static const char output_path[] = "/out/counts.tsv";

// Decodes one code point and returns its length, or 0 when the bytes at `at`
// are not UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF).
static size_t decode(const uint8_t *at, size_t left, uint32_t *point) {
    uint8_t first = at[0];
    if (first < 0x80) {
        *point = first;
        return 1;
    }
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || length > left)
        return 0;
    uint32_t value = first & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (at[i] & 0x3F);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < smallest[length] || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF)
        return 0;
    *point = value;
    return length;
}

static int is_letter(uint32_t point) {
    if (point < 0xC0)
        return (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z');
    return point != 0xD7 && point != 0xF7 && !(point >= 0x2000 && point <= 0x206F);
}

static int is_apostrophe(uint32_t point) {
    return point == '\'' || point == 0x2019;
}

// Copies the text with every word in lower case and with one kind of
// apostrophe, and counts the words where they lie in the copy. The copy is never
// longer than the text.
static uint64_t count_file(struct words *words, const struct job_file *file) {
    char *copy = job_allocate(file->size);
    size_t used = 0, word_start = 0;
    int apostrophe = 0; // seen after a letter; part of the word if a letter follows
    uint64_t counted = 0;
    for (size_t at = 0; at < file->size;) {
        uint32_t point;
        size_t length = decode(file->bytes + at, file->size - at, &point);
        if (!length)
            job_fail("%s is not UTF-8 at byte %zu", file->path, at);
        if (is_letter(point)) {
            if (apostrophe)
                copy[used++] = '\'';
            memcpy(copy + used, file->bytes + at, length);
            if (point >= 'A' && point <= 'Z')
                copy[used] = (char)(point + ('a' - 'A'));
            used += length;
            apostrophe = 0;
        } else if (is_apostrophe(point) && !apostrophe && used > word_start) {
            apostrophe = 1;
        } else {
            if (used > word_start) {
                words_add(words, copy + word_start, used - word_start, 1);
                counted++;
            }
            word_start = used;
            apostrophe = 0;
        }
        at += length;
    }
    if (used > word_start) {
        words_add(words, copy + word_start, used - word_start, 1);
        counted++;
    }
    return counted;
}

int main(int argc, char **argv) {
    (void)argv;
    job_start("count");
    if (argc != 1)
        job_fail("takes no arguments");

    struct job_files files = job_read_all("/in");
    struct words words = {0};
    for (size_t i = 0; i < files.count; i++) {
        uint64_t counted = count_file(&words, &files.items[i]);
        printf("%s: %llu words\n", files.items[i].path, (unsigned long long)counted);
    }
    words_sort_by_word(&words);
    words_write(&words, output_path);
    return 0;
}
