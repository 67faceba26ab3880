//! `valo completions`: completions for a shell.

use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  valo completions bash > ~/.local/share/bash-completion/completions/valo
  valo completions zsh > ~/.zfunc/_valo
  valo completions fish > ~/.config/fish/completions/valo.fish";

/// `valo completions`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

impl Arguments {
    /// Writes the completions to standard output.
    pub fn run(self, mut tree: clap::Command) -> anyhow::Result<()> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut tree, "valo", &mut text);
        crate::cli::output::print(String::from_utf8(text)?.trim_end())
    }
}
