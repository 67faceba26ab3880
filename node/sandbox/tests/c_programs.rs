//! Real programs: C with wasi-libc, built by clang at test time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::{path::Path, process::Command, time::Duration};

use support::*;
use valo_protocol::files::{RunFailure, RunStatus, Trap};
use valo_sandbox::*;

/// Compiles a C program. Without clang and wasi-libc this test program fails: they are part of
/// what the project is developed with (`make deps` installs them).
fn compile(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("program.c"), folder.path().join("program.wasm"));
    std::fs::write(&from, source).unwrap();
    let output = Command::new("clang")
        .args(["--target=wasm32-wasi", "-O2", "-Wall", "-Werror", "-o"])
        .args([&to, &from])
        .output()
        .expect("clang is not installed; on Debian: apt install clang lld wasi-libc libclang-rt-14-dev-wasm32");
    assert!(output.status.success(), "clang: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&to).unwrap()
}

fn file<'a>(output: &'a RunOutput, path: &str) -> &'a str {
    let found = output.files.iter().find(|file| &*file.path == path);
    let found = found.unwrap_or_else(|| panic!("no {path} in {:?}: {}", output.files, output.stderr.text()));
    std::str::from_utf8(&found.contents).unwrap()
}

#[test]
fn a_program_with_files_and_directories() {
    let request = RunRequest {
        arguments: vec!["sums".into(), "--scale".into(), "2.5".into()],
        inputs: vec![
            input("b.txt", b"3 4\n5\n"),
            input("a.txt", b"1 2\n"),
            input("deep/er/c.txt", b"-1000000 999999\n"),
        ],
        ..request(&compile(FILES))
    };
    let output = run(request.clone());
    assert_eq!(output.record.status, RunStatus::Exited(0), "{}", output.stderr.text());
    assert_eq!(file(&output, "sums/a.txt"), "7.500\n");
    assert_eq!(file(&output, "sums/b.txt"), "30.000\n");
    assert_eq!(file(&output, "listing"), ". .. a.txt b.txt deep | . .. in out | shard 3 of 8 in features\n");
    assert_eq!(file(&output, "renamed"), "HELLO world, again");
    assert_eq!(
        file(&output, "errors"),
        "in: Read-only file system; missing: No such file or directory; nowhere: No such file or directory; escape: ok\n"
    );
    assert_eq!(output.files.len(), 5, "{:?}", output.files);
    assert_eq!(output.stdout.text(), "read 3 files\n");
    assert_eq!(output.record, run(request).record);
}

const FILES: &str = r#"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void must(int fine, const char *what) {
    if (!fine) { perror(what); exit(1); }
}

static void list(FILE *to, const char *path) {
    DIR *directory = opendir(path);
    must(directory != NULL, path);
    for (struct dirent *entry; (entry = readdir(directory));) fprintf(to, "%s ", entry->d_name);
    closedir(directory);
    fputs("| ", to);
}

static void sum(const char *name, double scale) {
    char path[100];
    snprintf(path, sizeof path, "/in/%s", name);
    FILE *from = fopen(path, "r");
    must(from != NULL, path);
    double total = 0, value;
    while (fscanf(from, "%lf", &value) == 1) total += value;
    must(feof(from) && !fclose(from), "reading");
    snprintf(path, sizeof path, "/out/sums/%s", name);
    FILE *to = fopen(path, "w");
    must(to != NULL, path);
    fprintf(to, "%.3f\n", total * scale);
    must(!fclose(to), "writing");
}

int main(int count, char **arguments) {
    must(count == 3 && !strcmp(arguments[1], "--scale"), "arguments");
    double scale = strtod(arguments[2], NULL);
    must(!mkdir("/out/sums", 0777), "mkdir");
    sum("a.txt", scale);
    sum("b.txt", scale);

    FILE *listing = fopen("/out/listing", "w");
    list(listing, "/in");
    list(listing, "/");
    fprintf(listing, "shard %s of %s in %s\n", getenv("VALO_SHARD"), getenv("VALO_SHARDS"), getenv("VALO_STAGE"));
    must(!fclose(listing), "listing");

    // seek, overwrite, append, rename, remove, and a relative path
    FILE *file = fopen("/out/first", "w+");
    fputs("hello world", file);
    must(!fseek(file, 0, SEEK_SET) && fgetc(file) == 'h', "seek");
    must(!fseek(file, 0, SEEK_SET), "seek");
    fputs("HELLO", file);
    must(!fclose(file), "close");
    file = fopen("out/first", "a");
    fputs(", again, and more", file);
    must(!fclose(file), "append");
    must(!truncate("/out/first", 18), "truncate");
    struct stat status;
    must(!stat("/out/first", &status) && status.st_size == 18 && S_ISREG(status.st_mode), "stat");
    must(!rename("/out/first", "/out/renamed"), "rename");
    must(!stat("/in/deep/er", &status) && S_ISDIR(status.st_mode), "stat");
    int temporary = open("/out/temporary", O_RDWR | O_CREAT | O_EXCL, 0600);
    must(temporary >= 0 && pwrite(temporary, "x", 1, 10) == 1, "pwrite");
    char byte = 1;
    must(pread(temporary, &byte, 1, 5) == 1 && byte == 0, "pread");
    must(!unlink("/out/temporary") && !close(temporary), "unlink");
    must(!mkdir("/out/gone", 0777) && !rmdir("/out/gone"), "rmdir");

    FILE *errors = fopen("/out/errors", "w");
    fopen("/in/new", "w");
    fprintf(errors, "in: %s; ", strerror(errno));
    fopen("/in/missing", "r");
    fprintf(errors, "missing: %s; ", strerror(errno));
    fopen("/etc/passwd", "r");
    fprintf(errors, "nowhere: %s; ", strerror(errno));
    fprintf(errors, "escape: %s\n", fopen("/in/../../etc/passwd", "r") ? "open" : "ok");
    must(!fclose(errors), "errors");
    printf("read %d files\n", 3);
    return 0;
}
"#;

#[test]
fn a_program_with_memory_sorting_and_numbers() {
    let source = r#"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int ascending(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

int main(void) {
    enum { COUNT = 50000 };
    double *values = malloc(COUNT * sizeof *values);
    unsigned char seed[8];
    if (!values || getentropy(seed, sizeof seed)) return 1;
    unsigned long long state = 0;
    memcpy(&state, seed, sizeof state);
    for (int i = 0; i < COUNT; i++) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        values[i] = sin((double)(state >> 11)) * exp(i / 1e4);
    }
    qsort(values, COUNT, sizeof *values, ascending);
    for (int i = 1; i < COUNT; i++) if (values[i - 1] > values[i]) return 2;
    time_t before = time(NULL);
    sleep(3600);
    if (time(NULL) - before != 3600) return 3;
    void *volatile large = malloc(1 << 30);
    printf("%.17g %.17g %s %lld\n", values[0], values[COUNT - 1], large ? "large" : "refused", (long long)before);
    return 0;
}
"#;
    let mut request = request(&compile(source));
    request.limits.fuel = 500_000_000;
    let output = run(request.clone());
    assert_eq!(output.record.status, RunStatus::Exited(0), "{}", output.stderr.text());
    assert!(output.stdout.text().ends_with(" refused 1700000000\n"), "{}", output.stdout.text());
    let again = run(request);
    assert_eq!((output.record, output.stdout), (again.record, again.stdout));
}

#[test]
fn a_large_directory_is_listed_whole_and_emptied_while_listed() {
    let source = r#"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void) {
    char path[100];
    for (int i = 0; i < 2000; i++) {
        snprintf(path, sizeof path, "/out/a file with a rather long name, number %05d", i);
        FILE *file = fopen(path, "w");
        if (!file || fclose(file)) return 1;
    }
    for (int pass = 0; pass < 2; pass++) {
        DIR *directory = opendir("/out");
        if (!directory) return 2;
        int count = 0, sorted = 1;
        char last[100] = "";
        for (struct dirent *entry; (entry = readdir(directory));) {
            if (entry->d_name[0] == '.') continue;
            count++;
            if (strcmp(last, entry->d_name) >= 0) sorted = 0;
            strcpy(last, entry->d_name);
            snprintf(path, sizeof path, "/out/%s", entry->d_name);
            if (pass && unlink(path)) return 3;
        }
        closedir(directory);
        printf("%d %d\n", count, sorted);
    }
    return rmdir("/out") == 0;
}
"#;
    let output = run(request(&compile(source)));
    assert_eq!(output.record.status, RunStatus::Exited(0), "{}", output.stderr.text());
    assert_eq!(output.stdout.text(), "2000 1\n2000 1\n");
    assert!(output.files.is_empty());
}

#[test]
fn failures_of_real_programs_are_explained() {
    let abort = compile("#include <stdlib.h>\n#include <stdio.h>\nint main(void) { puts(\"before\"); abort(); }");
    let output = run(request(&abort));
    assert_eq!(output.record.status, RunStatus::Failed(RunFailure::Trap(Trap::Unreachable)));
    assert_eq!(output.stdout.text(), "before\n", "a log is whole up to the trap");
    assert!(output.detail.unwrap().to_string().contains("abort"));

    let deep = compile(
        "int f(int n) { volatile char c[16]; c[0] = n; return n ? f(n + 1) + c[0] : 0; }\nint main(void) { return f(1); }",
    );
    assert!(matches!(failure(request(&deep)), RunFailure::Trap(Trap::StackOverflow | Trap::MemoryOutOfBounds)));

    let hungry = compile(
        "#include <stdlib.h>\nint main(void) { for (;;) { volatile char *p = malloc(1 << 20); if (!p) abort(); *p = 1; } }",
    );
    assert_eq!(failure(request(&hungry)), RunFailure::OutOfMemory);
}

/// The modules that come with the examples, each twice at once.
#[test]
fn the_examples_modules_run_the_same_twice() {
    let examples = Path::new("../../examples");
    let primes = std::fs::read(examples.join("primes/primes.wasm")).unwrap();
    let count = std::fs::read(examples.join("wordcount/count.wasm")).unwrap();
    let texts = std::fs::read_dir(examples.join("wordcount/texts")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let size = path.metadata().unwrap().len();
        let name = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        InputFile { path: name, size, hash: None, source: Source::Path(path) }
    });
    let texts: Vec<InputFile> = texts.collect();
    let mut requests = vec![
        RunRequest {
            arguments: ["primes", "--from", "1000000", "--to", "2000000"].map(String::from).into(),
            ..request(&primes)
        },
        RunRequest { arguments: vec!["count".into()], inputs: texts, ..request(&count) },
    ];
    for request in &mut requests {
        request.limits.fuel = 2_000_000_000;
        request.limits.wall = Duration::from_secs(120);
        let handles = [(), ()].map(|()| sandbox().submit(request.clone()).unwrap());
        let [first, second] = handles.map(|handle| handle.wait().unwrap());
        assert_eq!(first.record.status, RunStatus::Exited(0), "{}", first.stderr.text());
        assert!(!first.files.is_empty());
        assert_eq!(first.record.digest(), second.record.digest());
    }
}
