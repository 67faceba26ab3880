// Counts primes and twin primes and finds the largest gap between primes in
// this shard's part of a range.
//
//   --from A --to B       the range A <= n < B of the whole job
//   /out/primes.tsv       one line, six numbers with tabs between: the shard's
//                         own range, its primes, its twins, its largest gap, and
//                         the prime after which that gap opens
//
// A pair or a gap belongs to the shard in which it begins: a shard looks past
// the end of its range for the prime that follows, so nothing between two shards
// is lost or counted twice, and the lines of all shards add up.
#include <stdlib.h>
#include <string.h>

#include "job.h"

static const char output_path[] = "/out/primes.tsv";

// Base primes go up to the square root: 10^7 here, 664,579 of them.
#define LARGEST 100000000000000u
#define MOST_SHARDS 100000
// Odd numbers in a segment, one byte each: fits the second-level cache.
#define SEGMENT 262144u

struct sieve {
    uint32_t *primes; // odd primes up to the square root of the end
    uint64_t *next;   // where each strikes next, in odd numbers from the segment's start
    size_t count;
    uint64_t start; // the first odd number of the segment
    uint8_t composite[SEGMENT];
};

static uint64_t square_root(uint64_t n) {
    uint64_t root = 0;
    for (uint64_t bit = 1u << 31; bit; bit >>= 1)
        if ((root | bit) * (root | bit) <= n)
            root |= bit;
    return root;
}

static void find_base_primes(struct sieve *sieve, uint64_t limit) {
    uint8_t *composite = job_allocate(limit + 1);
    memset(composite, 0, limit + 1);
    sieve->count = 0;
    for (uint64_t n = 3; n <= limit; n += 2) {
        if (composite[n])
            continue;
        sieve->count++;
        for (uint64_t multiple = n * n; multiple <= limit; multiple += 2 * n)
            composite[multiple] = 1;
    }
    sieve->primes = job_allocate(sieve->count * sizeof *sieve->primes);
    sieve->next = job_allocate(sieve->count * sizeof *sieve->next);
    size_t at = 0;
    for (uint64_t n = 3; n <= limit; n += 2)
        if (!composite[n])
            sieve->primes[at++] = (uint32_t)n;
    free(composite);
}

// The position, in odd numbers from `start`, of the first odd multiple of
// `prime` that is at least its square.
static uint64_t first_strike(uint64_t prime, uint64_t start) {
    uint64_t multiple = prime * prime;
    if (multiple < start)
        multiple = (start + prime - 1) / prime * prime;
    if (multiple % 2 == 0)
        multiple += prime;
    return (multiple - start) / 2;
}

static void sieve_segment(struct sieve *sieve) {
    memset(sieve->composite, 0, SEGMENT);
    for (size_t i = 0; i < sieve->count; i++) {
        uint64_t at = sieve->next[i];
        for (; at < SEGMENT; at += sieve->primes[i])
            sieve->composite[at] = 1;
        sieve->next[i] = at - SEGMENT;
    }
}

struct found {
    uint64_t primes, twins, gap, gap_after;
    uint64_t previous; // the last prime seen, 0 before the first
};

// Takes the primes in rising order. Returns 0 when no more are wanted: the
// first prime past the end closes the last gap.
static int take(struct found *found, uint64_t prime, uint64_t end) {
    if (found->previous) {
        uint64_t gap = prime - found->previous;
        found->twins += gap == 2;
        if (gap > found->gap) { // of equals the first
            found->gap = gap;
            found->gap_after = found->previous;
        }
    }
    if (prime >= end)
        return 0;
    found->primes++;
    found->previous = prime;
    return 1;
}

static void search(struct found *found, uint64_t start, uint64_t end) {
    // The next prime is at most a few thousand past the end, anywhere below
    // LARGEST; base primes for it must be at hand.
    static struct sieve sieve;
    find_base_primes(&sieve, square_root(end + 2 * SEGMENT));
    if (start <= 2 && !take(found, 2, end))
        return;
    sieve.start = start < 3 ? 3 : start | 1;
    for (size_t i = 0; i < sieve.count; i++)
        sieve.next[i] = first_strike(sieve.primes[i], sieve.start);
    for (;; sieve.start += 2 * SEGMENT) {
        sieve_segment(&sieve);
        for (uint32_t i = 0; i < SEGMENT; i++) {
            uint64_t n = sieve.start + 2 * (uint64_t)i;
            if (!sieve.composite[i] && !take(found, n, end))
                return;
            // No prime in the range: there is no gap to close either.
            if (!found->previous && n >= end)
                return;
        }
    }
}

// Deals `width` numbers over the shards: the first `width % shards` get one more.
static uint64_t share_start(uint64_t from, uint64_t width, uint64_t shard, uint64_t shards) {
    uint64_t extra = width % shards;
    return from + width / shards * shard + (shard < extra ? shard : extra);
}

static const char *argument(int argc, char **argv, const char *name) {
    const char *value = NULL;
    for (int i = 1; i + 1 < argc; i += 2)
        if (!strcmp(argv[i], name)) {
            if (value)
                job_fail("%s is given twice", name);
            value = argv[i + 1];
        }
    return value;
}

int main(int argc, char **argv) {
    job_start("primes");
    for (int i = 1; i < argc; i += 2)
        if (strcmp(argv[i], "--from") && strcmp(argv[i], "--to"))
            job_fail("does not know %s: want --from A --to B", argv[i]);
    if (argc % 2 == 0)
        job_fail("%s is missing its number", argv[argc - 1]);
    uint64_t from = job_number("--from", argument(argc, argv, "--from"), 0, LARGEST);
    uint64_t to = job_number("--to", argument(argc, argv, "--to"), from, LARGEST);
    uint64_t shards = job_number("VALO_SHARDS", getenv("VALO_SHARDS"), 1, MOST_SHARDS);
    uint64_t shard = job_number("VALO_SHARD", getenv("VALO_SHARD"), 0, shards - 1);

    uint64_t start = share_start(from, to - from, shard, shards);
    uint64_t end = share_start(from, to - from, shard + 1, shards);
    struct found found = {0};
    search(&found, start, end);

    FILE *output = job_create(output_path);
    fprintf(output, "%llu\t%llu\t%llu\t%llu\t%llu\t%llu\n", (unsigned long long)start, (unsigned long long)end,
            (unsigned long long)found.primes, (unsigned long long)found.twins, (unsigned long long)found.gap,
            (unsigned long long)found.gap_after);
    job_close(output, output_path);
    printf("%llu primes\n", (unsigned long long)found.primes);
    return 0;
}
