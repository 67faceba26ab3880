//! `valo key`: makes, shows, moves and removes keys.

use crate::cli::{
    context::Context,
    keys::{self, Cost, KeyFile, Passphrases, read_key_file, write_new},
    output::{Table, cell, print},
};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
};
use valo_protocol::{PublicKey, SecretKey};
use zeroize::Zeroizing;

const EXAMPLES: &str = "\
Examples:
  valo key generate alice                      asks for a passphrase
  VALO_PASSPHRASE=... valo key generate bob    takes it from the environment
  valo key generate robot --plain              no passphrase: whoever reads the file can spend
  valo key export alice --out alice.json       a copy, sealed as it is
  valo key import alice alice.json

Keys lie in the configuration folder (VALO_HOME), readable by their owner only. A sealed key is
encrypted with ChaCha20-Poly1305 under Argon2id of its passphrase. Nobody can recover a lost key
or passphrase.";

/// `valo key`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new key
    Generate(Generate),
    /// Show the public half of a key
    Show {
        /// Name of the key; the one in use unless said
        name: Option<String>,
    },
    /// List the keys
    #[command(alias = "ls")]
    List,
    /// Take in a key file, or a secret in hexadecimal
    Import(Import),
    /// Write a copy of a key's file
    Export(Export),
    /// Remove a key for good
    #[command(alias = "rm")]
    Remove {
        /// Name of the key
        name: String,
    },
}

#[derive(Debug, Args)]
struct Generate {
    /// Name of the key
    #[arg(default_value = "default")]
    name: String,
    /// Keep it without a passphrase
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Args)]
struct Import {
    /// Name that it gets
    name: String,
    /// Key file, or one with the 64 hexadecimal characters of a secret, as Secrets of Wallets hold; `-` reads those
    /// from standard input
    file: PathBuf,
    /// Keep a secret that was given in hexadecimal without a passphrase
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Args)]
struct Export {
    /// Name of the key
    name: String,
    /// Where to write the copy
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Open the key first, and write it without a passphrase
    #[arg(long)]
    plain: bool,
}

/// A key, as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    name: String,
    public_key: PublicKey,
    sealed: bool,
    file: String,
}

impl Arguments {
    /// Runs the command.
    pub fn run(self, context: &Context) -> anyhow::Result<()> {
        match self.command {
            Command::Generate(arguments) => generate(context, &arguments),
            Command::Show { name } => {
                let name = name.map_or_else(|| context.key_name(), Ok)?;
                show(context, &name)
            }
            Command::List => list(context),
            Command::Import(arguments) => import(context, &arguments),
            Command::Export(arguments) => export(context, &arguments),
            Command::Remove { name } => remove(context, &name),
        }
    }
}

fn passphrases(context: &Context) -> Passphrases {
    Passphrases::new(context.global.passphrase_file.clone())
}

fn sealed_or_plain(context: &Context, name: &str, key: &SecretKey, plain: bool) -> anyhow::Result<KeyFile> {
    if plain {
        return Ok(KeyFile::plain(key));
    }
    Ok(KeyFile::sealed(key, &passphrases(context).new_one(name)?, Cost::STANDARD)?)
}

fn generate(context: &Context, arguments: &Generate) -> anyhow::Result<()> {
    if context.keys.path(&arguments.name)?.exists() {
        return Err(keys::StoreError::Exists(arguments.name.clone()).into());
    }
    let key = SecretKey::generate()?;
    let file = sealed_or_plain(context, &arguments.name, &key, arguments.plain)?;
    context.keys.write(&arguments.name, &file)?;
    show(context, &arguments.name)
}

fn look(context: &Context, name: &str) -> anyhow::Result<Shown> {
    let file = context.keys.read(name)?;
    Ok(Shown {
        name: name.to_owned(),
        public_key: file.public(),
        sealed: file.is_sealed(),
        file: context.keys.path(name)?.display().to_string(),
    })
}

fn show(context: &Context, name: &str) -> anyhow::Result<()> {
    let shown = look(context, name)?;
    context.output.show(&shown, || {
        let mut table = Table::fields();
        table.field("Name", &shown.name);
        table.field("Public key", shown.public_key);
        table.field("Secret", protection(shown.sealed));
        table.field("File", &shown.file);
        table.to_string()
    })
}

const fn protection(sealed: bool) -> &'static str {
    if sealed { "sealed with a passphrase" } else { "plain" }
}

fn list(context: &Context) -> anyhow::Result<()> {
    let mut shown = Vec::new();
    for name in context.keys.names()? {
        match look(context, &name) {
            Ok(key) => shown.push(key),
            Err(error) => context.output.warn(crate::cli::output::error_line(&error)),
        }
    }
    context.output.show(&shown, || {
        if shown.is_empty() {
            return "no keys; `valo key generate` makes one".to_owned();
        }
        let mut table = Table::new(["name", "public key", "secret"]);
        for key in &shown {
            table.row([cell(&key.name), cell(key.public_key), cell(protection(key.sealed))]);
        }
        table.to_string()
    })
}

fn import(context: &Context, arguments: &Import) -> anyhow::Result<()> {
    let file = if arguments.file.to_str() == Some("-") {
        let key = secret(io::stdin())?;
        let key = key.context("standard input holds no secret: it takes 64 hexadecimal characters")?;
        sealed_or_plain(context, &arguments.name, &key, arguments.plain)?
    } else if let Some(key) = fs::File::open(&arguments.file).ok().and_then(|file| secret(file).ok()?) {
        sealed_or_plain(context, &arguments.name, &key, arguments.plain)?
    } else {
        match read_key_file(&arguments.name, &arguments.file) {
            Err(keys::StoreError::Missing { .. }) => bail!("there is no file {}", arguments.file.display()),
            file => file?,
        }
    };
    context.keys.write(&arguments.name, &file)?;
    show(context, &arguments.name)
}

/// A secret in hexadecimal, and nothing else.
fn secret(from: impl Read) -> anyhow::Result<Option<SecretKey>> {
    let mut text = Zeroizing::new(Vec::new());
    from.take(1024).read_to_end(&mut text).context("cannot read the secret")?;
    let mut seed = Zeroizing::new([0u8; 32]);
    Ok(hex::decode_to_slice(text.trim_ascii(), seed.as_mut_slice()).is_ok().then(|| SecretKey::from_seed(*seed)))
}

fn export(context: &Context, arguments: &Export) -> anyhow::Result<()> {
    let file = if arguments.plain {
        context.confirm(&format!("Write key `{}` without a passphrase?", arguments.name))?;
        KeyFile::plain(&keys::open(&context.keys, &arguments.name, &passphrases(context))?)
    } else {
        context.keys.read(&arguments.name)?
    };
    write_new(&arguments.out, file.to_text()?.as_bytes())
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    context.output.note(format_args!("wrote {}", arguments.out.display()));
    Ok(())
}

fn remove(context: &Context, name: &str) -> anyhow::Result<()> {
    // A damaged file can be removed too: only its absence is an error.
    if !context.keys.path(name)?.exists() {
        return Err(keys::StoreError::Missing { name: name.to_owned() }.into());
    }
    context.confirm(&format!("Remove key `{name}`? What it owns is lost unless there is a copy."))?;
    context.keys.remove(name)?;
    print(format_args!("removed key `{name}`"))
}
