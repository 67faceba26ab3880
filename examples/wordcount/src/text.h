// Words and their counts, shared by both programs of this example.
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

struct word {
    const char *bytes; // not terminated; points into text that stays in memory
    size_t length;
    uint64_t count;
};

// An open-addressed hash table of words. Zero-initialise it.
struct words {
    struct word *slots;
    size_t capacity; // a power of two, or 0
    size_t used;
};

// Adds `count` to a word. `bytes` must outlive the table.
void words_add(struct words *words, const char *bytes, size_t length, uint64_t count);

// Moves the words to the front of `slots`, sorted; the table cannot be added to
// afterwards. Words compare byte by byte.
void words_sort_by_word(struct words *words);
void words_sort_by_count(struct words *words); // largest first, then by word

// Writes one line a word: word, tab, count.
void words_write(const struct words *words, const char *path);

#endif
