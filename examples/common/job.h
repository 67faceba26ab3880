// What every example program does around its own work: take the files of /in
// in one fixed order, write a file in /out, and stop with one clear line.
//
// A job program is an ordinary WASI command. It sees
//   /in                       its shard's input, read-only
//   /out                      its result: every file in it is part of the digest
//   VALO_SHARD, VALO_SHARDS   which shard this is, and of how many
//   VALO_STAGE                the name of the stage
// Several workers run the same shard and their results are compared byte by
// byte, so nothing here may depend on anything but these: the order in which a
// directory happens to be listed, for one, is not the same everywhere.
#ifndef JOB_H
#define JOB_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct job_file {
    char *path; // as opened, e.g. "/in/digits.bin"
    uint8_t *bytes;
    size_t size;
};

struct job_files {
    struct job_file *items; // sorted by path, byte by byte
    size_t count;
};

// Prints "program: message" to stderr, which becomes the shard's log, and exits
// with code 1. An exit code that the replicas agree on is a verdict: the shard
// failed, the work is paid.
_Noreturn void job_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// To be called first: `name` heads the messages.
void job_start(const char *name);

// Every regular file below `folder`, read whole. No file at all is an error.
struct job_files job_read_all(const char *folder);

// A whole number from an environment variable or an argument; `what` names it
// in the message when it is missing, malformed or outside minimum..maximum.
uint64_t job_number(const char *what, const char *text, uint64_t minimum, uint64_t maximum);

// Opens a file for writing; job_close reports every write that failed, so that
// a full /out is an error and never a short result.
FILE *job_create(const char *path);
void job_close(FILE *file, const char *path);

// malloc and realloc that stop the program instead of returning NULL.
void *job_allocate(size_t size);
void *job_resize(void *memory, size_t size);

#endif
