//! A profile that a network has while it runs: one that leaves nothing behind gives it back as it was.

use super::profile::{Config, Profile};
use std::path::{Path, PathBuf};

/// A profile that was changed, and how it was before.
#[derive(Debug)]
pub struct Lent {
    home: PathBuf,
    name: String,
    now: Profile,
    before: Option<Profile>,
    /// Whether it was made the current one, where there was none.
    made_current: bool,
}

impl Lent {
    /// Writes a profile into the configuration of a folder, and makes it the current one where there is none.
    pub fn take(home: &Path, name: &str, now: Profile) -> anyhow::Result<(Self, Config)> {
        // Read just now: another command may have written meanwhile.
        let mut config = Config::read(home)?;
        let before = config.profiles.insert(name.to_owned(), now.clone());
        let made_current = config.current.is_none();
        config.current.get_or_insert_with(|| name.to_owned());
        config.write(home)?;
        Ok((Self { home: home.to_owned(), name: name.to_owned(), now, before, made_current }, config))
    }

    /// Where the profile pointed to, if that was another chain.
    pub fn elsewhere(&self) -> Option<&str> {
        let before = self.before.as_ref().filter(|before| before.genesis != self.now.genesis);
        before.and_then(|before| before.endpoint.as_deref())
    }

    /// Gives the profile back, unless it is for another chain by now.
    pub fn give_back(self) -> anyhow::Result<()> {
        let mut config = Config::read(&self.home)?;
        if config.profiles.get(&self.name).is_none_or(|profile| profile.genesis != self.now.genesis) {
            return Ok(());
        }
        match self.before {
            Some(before) => {
                config.profiles.insert(self.name.clone(), before);
            }
            None => {
                config.profiles.remove(&self.name);
            }
        }
        if self.made_current && config.current.as_ref() == Some(&self.name) {
            config.current = None;
        }
        config.write(&self.home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use valo_protocol::GenesisHash;

    fn profile(chain: u8) -> Profile {
        let endpoint = Some(format!("http://127.0.0.1:{chain}"));
        Profile { endpoint, genesis: Some(GenesisHash([chain; 32])), ..Profile::default() }
    }

    #[test]
    fn what_was_there_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let read = || Config::read(folder.path()).unwrap();
        let (kept, _) = Lent::take(folder.path(), "dev", profile(1)).unwrap();
        assert_eq!(kept.elsewhere(), None);
        let before = read();
        let (lent, _) = Lent::take(folder.path(), "dev", profile(2)).unwrap();
        assert_eq!(lent.elsewhere(), Some("http://127.0.0.1:1"));
        assert_eq!(read().profiles["dev"], profile(2));
        lent.give_back().unwrap();
        assert_eq!(read(), before);
        kept.give_back().unwrap();
        assert_eq!(read(), Config::default(), "there was none");
    }

    #[test]
    fn a_profile_that_is_for_another_chain_by_now_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (first, _) = Lent::take(folder.path(), "dev", profile(1)).unwrap();
        let (_second, after) = Lent::take(folder.path(), "dev", profile(2)).unwrap();
        first.give_back().unwrap();
        assert_eq!(Config::read(folder.path()).unwrap(), after);
    }
}
