//! The `valo` binary: see [`valo::cli`].

fn main() -> std::process::ExitCode {
    valo::cli::main()
}
