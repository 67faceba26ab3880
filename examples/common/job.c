#include "job.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// Deeper trees are refused rather than followed until the stack ends.
#define DEEPEST_FOLDER 16

static const char *program = "job";

void job_start(const char *name) {
    program = name;
}

void job_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

void *job_allocate(size_t size) {
    return job_resize(NULL, size);
}

void *job_resize(void *memory, size_t size) {
    void *resized = realloc(memory, size ? size : 1);
    if (!resized)
        job_fail("out of memory at %zu bytes: split the input into more shards or raise `memory`", size);
    return resized;
}

uint64_t job_number(const char *what, const char *text, uint64_t minimum, uint64_t maximum) {
    if (!text || !*text)
        job_fail("%s is missing", what);
    uint64_t value = 0;
    for (const char *digit = text; *digit; digit++) {
        if (*digit < '0' || *digit > '9')
            job_fail("%s is not a whole number: \"%s\"", what, text);
        uint64_t units = (uint64_t)(*digit - '0');
        if (value > (UINT64_MAX - units) / 10)
            job_fail("%s is too large: %s", what, text);
        value = value * 10 + units;
    }
    if (value < minimum || value > maximum)
        job_fail("%s is %llu, outside %llu to %llu", what, (unsigned long long)value, (unsigned long long)minimum,
                 (unsigned long long)maximum);
    return value;
}

static char *join(const char *folder, const char *name) {
    size_t folder_length = strlen(folder), name_length = strlen(name);
    char *path = job_allocate(folder_length + name_length + 2);
    memcpy(path, folder, folder_length);
    path[folder_length] = '/';
    memcpy(path + folder_length + 1, name, name_length + 1);
    return path;
}

static void read_file(struct job_file *file, off_t size) {
    if (size < 0 || (uint64_t)size > SIZE_MAX / 2)
        job_fail("%s is too large: split it into more shards", file->path);
    file->size = (size_t)size;
    file->bytes = job_allocate(file->size);
    FILE *stream = fopen(file->path, "rb");
    if (!stream)
        job_fail("cannot open %s: %s", file->path, strerror(errno));
    if (fread(file->bytes, 1, file->size, stream) != file->size)
        job_fail("cannot read %s: it ended before its %zu bytes", file->path, file->size);
    fclose(stream);
}

static void walk(struct job_files *files, const char *folder, int depth) {
    if (depth > DEEPEST_FOLDER)
        job_fail("%s is more than %d folders deep", folder, DEEPEST_FOLDER);
    DIR *directory = opendir(folder);
    if (!directory)
        job_fail("cannot list %s: %s", folder, strerror(errno));
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        char *path = join(folder, entry->d_name);
        struct stat status;
        if (stat(path, &status))
            job_fail("cannot look at %s: %s", path, strerror(errno));
        if (S_ISDIR(status.st_mode)) {
            walk(files, path, depth + 1);
            free(path);
            continue;
        }
        if (!S_ISREG(status.st_mode))
            job_fail("%s is neither a file nor a folder", path);
        files->items = job_resize(files->items, (files->count + 1) * sizeof *files->items);
        files->items[files->count].path = path;
        read_file(&files->items[files->count], status.st_size);
        files->count++;
    }
    closedir(directory);
}

static int by_path(const void *left, const void *right) {
    return strcmp(((const struct job_file *)left)->path, ((const struct job_file *)right)->path);
}

struct job_files job_read_all(const char *folder) {
    struct job_files files = {NULL, 0};
    walk(&files, folder, 1);
    if (files.count == 0)
        job_fail("%s holds no file: this program needs input", folder);
    qsort(files.items, files.count, sizeof *files.items, by_path);
    return files;
}

FILE *job_create(const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file)
        job_fail("cannot create %s: %s", path, strerror(errno));
    return file;
}

void job_close(FILE *file, const char *path) {
    int failed = ferror(file);
    if (fclose(file) || failed)
        job_fail("cannot write %s: is `output` in the contract large enough?", path);
}
