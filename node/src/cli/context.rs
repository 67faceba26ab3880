//! What every command has at hand: the configuration, keys, a client for the node, and how to print and ask.

use super::{
    arguments::Global,
    keys::{self, KeyStore, Passphrases},
    output::Output,
    profile::{self, Config, Profile},
};
use anyhow::{Context as _, bail, ensure};
use std::{
    io::{self, IsTerminal},
    path::PathBuf,
    time::Duration,
};
use valo_client::{
    AccountSession, Client,
    types::{Page, PageRequest, Status},
};
use valo_protocol::{PublicKey, SecretKey};

/// How long a command waits for its transaction to become final.
pub const FINALITY: Duration = Duration::from_secs(60);

/// What every command has at hand.
#[derive(Debug)]
pub struct Context {
    /// Flags that all commands share.
    pub global: Global,
    /// The configuration folder.
    pub home: PathBuf,
    /// The profiles.
    pub config: Config,
    /// Name of the profile in use.
    pub profile_name: Option<String>,
    /// The keys.
    pub keys: KeyStore,
    /// How to print.
    pub output: Output,
}

impl Context {
    /// Reads the configuration.
    pub fn new(global: Global) -> anyhow::Result<Self> {
        let home = profile::home()?;
        let config = Config::read(&home)?;
        let output = Output::new(&global);
        Ok(Self { keys: KeyStore::new(&home), profile_name: None, global, home, config, output })
    }

    /// Resolves the profile in use. Commands that make profiles do without.
    pub fn with_profile(mut self) -> anyhow::Result<Self> {
        self.profile_name = self.config.name_in_use(self.global.profile.as_deref())?;
        Ok(self)
    }

    /// The profile in use; an empty one when there is none.
    pub fn profile(&self) -> Profile {
        self.profile_name.as_ref().and_then(|name| self.config.profiles.get(name)).cloned().unwrap_or_default()
    }

    /// A client for the node of `--endpoint` or of the profile, which is on the trusted chain if the profile names one.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let client = self.unchecked_client()?;
        if self.profile().genesis.is_some() {
            self.status(&client).await?;
        }
        Ok(client)
    }

    fn unchecked_client(&self) -> anyhow::Result<Client> {
        let endpoint = self.global.endpoint.clone().or_else(|| self.profile().endpoint);
        let Some(endpoint) = endpoint else {
            if self.config.profiles.len() > 1 {
                bail!("there are several profiles; choose one with --profile, or `valo profile use NAME`");
            }
            bail!("no node to talk to; start a network with `valo dev`, or say --endpoint http://host:port");
        };
        Ok(Client::new(&endpoint)?)
    }

    /// The node's status. A node of another chain than the trusted one is refused.
    pub async fn status(&self, client: &Client) -> anyhow::Result<Status> {
        let status = client.status().await?;
        if let Some(trusted) = self.profile().genesis {
            ensure!(
                trusted == status.genesis,
                "the node at {} is on chain `{}` ({}), and profile `{}` trusts {}; is the endpoint right?",
                client.endpoint(),
                status.chain,
                status.genesis.short(),
                self.profile_name.as_deref().unwrap_or("?"),
                trusted.short()
            );
        }
        Ok(status)
    }

    /// Name of the key in use.
    pub fn key_name(&self) -> anyhow::Result<String> {
        if let Some(name) = self.global.key.clone().or_else(|| self.profile().key) {
            return Ok(name);
        }
        match self.keys.names()?.as_slice() {
            [only] => Ok(only.clone()),
            [] => bail!("there is no key to sign with; `valo key generate` makes one"),
            _ => bail!("there are several keys; choose one with --key, or `valo profile set --key NAME`"),
        }
    }

    /// The public half of the key in use: needs no passphrase.
    pub fn public_key(&self) -> anyhow::Result<PublicKey> {
        Ok(self.keys.read(&self.key_name()?)?.public())
    }

    /// The key in use.
    pub fn secret_key(&self) -> anyhow::Result<SecretKey> {
        let passphrases = Passphrases::new(self.global.passphrase_file.clone());
        Ok(keys::open(&self.keys, &self.key_name()?, &passphrases)?)
    }

    /// A session of the account of the key in use, on the trusted chain.
    pub async fn session(&self, client: &Client) -> anyhow::Result<AccountSession> {
        let status = self.status(client).await?;
        let key = self.secret_key()?;
        let public = key.public();
        match AccountSession::open_on(client.clone(), key, status.genesis).await {
            Err(error) if error.is_not_found() => Err(no_account(&public)),
            session => Ok(session?),
        }
    }

    /// Asks a question that `--yes` answers. Refuses when there is nobody to ask.
    pub fn confirm(&self, question: &str) -> anyhow::Result<()> {
        if self.global.yes {
            return Ok(());
        }
        ensure!(
            io::stdin().is_terminal() && io::stderr().is_terminal(),
            "{} Nobody is there to ask; say --yes",
            question
        );
        let agreed = dialoguer::Confirm::new().with_prompt(question).default(false).interact().context("cannot ask")?;
        ensure!(agreed, "not confirmed; nothing was done");
        Ok(())
    }
}

/// The key has no account.
pub fn no_account(key: &PublicKey) -> anyhow::Error {
    anyhow::anyhow!(
        "key {} has no account yet; somebody who has one must send to it: valo send 1 --to {key}",
        key.short()
    )
}

/// Collects at most `limit` items of a paged list.
pub async fn collect<T, F, P>(limit: u32, from: Option<String>, mut ask: F) -> anyhow::Result<Vec<T>>
where
    F: FnMut(PageRequest) -> P,
    P: Future<Output = Result<Page<T>, valo_client::ClientError>>,
{
    let mut items = Vec::new();
    let mut from = from;
    loop {
        let left = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(items.len());
        if left == 0 {
            return Ok(items);
        }
        let page = ask(PageRequest { from: from.take(), limit: Some(u32::try_from(left.min(1000))?) }).await?;
        items.extend(page.items.into_iter().take(left));
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(items),
        }
    }
}
