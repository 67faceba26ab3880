#include "text.h"

#include <stdlib.h>
#include <string.h>

#include "job.h"

// FNV-1a. Nothing depends on the order in which words lie in the table: both
// programs sort before they write.
static uint32_t hash(const char *bytes, size_t length) {
    uint32_t value = 2166136261u;
    for (size_t i = 0; i < length; i++)
        value = (value ^ (uint8_t)bytes[i]) * 16777619u;
    return value;
}

static struct word *find(struct words *words, const char *bytes, size_t length) {
    size_t at = hash(bytes, length) & (words->capacity - 1);
    while (words->slots[at].bytes &&
           (words->slots[at].length != length || memcmp(words->slots[at].bytes, bytes, length)))
        at = (at + 1) & (words->capacity - 1);
    return &words->slots[at];
}

static void grow(struct words *words) {
    struct words larger = {NULL, words->capacity ? words->capacity * 2 : 1024, words->used};
    larger.slots = job_allocate(larger.capacity * sizeof *larger.slots);
    memset(larger.slots, 0, larger.capacity * sizeof *larger.slots);
    for (size_t i = 0; i < words->capacity; i++)
        if (words->slots[i].bytes)
            *find(&larger, words->slots[i].bytes, words->slots[i].length) = words->slots[i];
    free(words->slots);
    *words = larger;
}

void words_add(struct words *words, const char *bytes, size_t length, uint64_t count) {
    if (words->used * 2 >= words->capacity)
        grow(words);
    struct word *word = find(words, bytes, length);
    if (!word->bytes) {
        *word = (struct word){bytes, length, 0};
        words->used++;
    }
    if (count > UINT64_MAX - word->count)
        job_fail("the count of \"%.*s\" does not fit in 64 bits", (int)length, bytes);
    word->count += count;
}

static int by_word(const void *left, const void *right) {
    const struct word *a = left, *b = right;
    int order = memcmp(a->bytes, b->bytes, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

static int by_count(const void *left, const void *right) {
    const struct word *a = left, *b = right;
    return a->count == b->count ? by_word(left, right) : a->count < b->count ? 1 : -1;
}

static void sort(struct words *words, int (*order)(const void *, const void *)) {
    size_t used = 0;
    for (size_t i = 0; i < words->capacity; i++)
        if (words->slots[i].bytes)
            words->slots[used++] = words->slots[i];
    if (used)
        qsort(words->slots, used, sizeof *words->slots, order);
}

void words_sort_by_word(struct words *words) {
    sort(words, by_word);
}

void words_sort_by_count(struct words *words) {
    sort(words, by_count);
}

void words_write(const struct words *words, const char *path) {
    FILE *file = job_create(path);
    for (size_t i = 0; i < words->used; i++) {
        fwrite(words->slots[i].bytes, 1, words->slots[i].length, file);
        fprintf(file, "\t%llu\n", (unsigned long long)words->slots[i].count);
    }
    job_close(file, path);
}
