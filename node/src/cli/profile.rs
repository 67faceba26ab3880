//! Profiles: which node to talk to, which key to sign with, and which chain is trusted; kept in `config.yaml`
//! of the configuration folder (`VALO_HOME`, else `valo` in the user's configuration folder).

use crate::bounded::Kind;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use valo_protocol::{AccountNumber, GenesisHash, job::is_name};

/// Name of the variable that says where the configuration folder is.
pub const HOME_VARIABLE: &str = "VALO_HOME";

/// The configuration folder.
pub fn home() -> anyhow::Result<PathBuf> {
    match std::env::var_os(HOME_VARIABLE).filter(|home| !home.is_empty()) {
        Some(home) => Ok(home.into()),
        None => dirs::config_dir()
            .map(|folder| folder.join("valo"))
            .with_context(|| format!("there is no home folder for the configuration; set {HOME_VARIABLE}")),
    }
}

/// What one network is to the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// Address of a node's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Name of the key to sign with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The account of that key, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountNumber>,
    /// The trusted chain: signatures and proofs are for this one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<GenesisHash>,
}

/// All profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The profile that is used unless another is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// Profiles by name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

impl Config {
    /// Reads the configuration of a folder; an empty one when there is none.
    pub fn read(home: &Path) -> anyhow::Result<Self> {
        let path = home.join("config.yaml");
        let text = match Kind::CONFIGURATION.text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        serde_yaml::from_str(&text).with_context(|| format!("{} is not a configuration", path.display()))
    }

    /// Writes the configuration, whole or not at all.
    pub fn write(&self, home: &Path) -> anyhow::Result<()> {
        let path = home.join("config.yaml");
        let text = serde_yaml::to_string(self)?;
        let write = || -> io::Result<()> {
            fs::create_dir_all(home)?;
            let temporary = home.join(format!(".config-{}.yaml", std::process::id()));
            fs::write(&temporary, text)?;
            fs::rename(&temporary, &path)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// The name of the profile in use: the one asked for, the current one, or the only one.
    pub fn name_in_use(&self, asked: Option<&str>) -> anyhow::Result<Option<String>> {
        if let Some(name) = asked {
            return match self.profiles.contains_key(name) {
                true => Ok(Some(name.to_owned())),
                false => Err(no_profile(name)),
            };
        }
        if let Some(current) = self.current.as_ref().filter(|name| self.profiles.contains_key(*name)) {
            return Ok(Some(current.clone()));
        }
        let mut names = self.profiles.keys();
        Ok(match (names.next(), names.next()) {
            (Some(only), None) => Some(only.clone()),
            _ => None,
        })
    }
}

/// There is no profile of that name.
pub fn no_profile(name: &str) -> anyhow::Error {
    anyhow::anyhow!("there is no profile `{name}`; `valo profile list` shows those there are")
}

/// Whether a text can name a profile.
pub fn check_name(name: &str) -> anyhow::Result<()> {
    anyhow::ensure!(is_name(name), "`{name}` is not a usable name for a profile: it takes 1 to 32 of a-z, 0-9 and -");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn configuration_round_trip() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Config::read(home.path()).unwrap(), Config::default());
        let mut config = Config { current: Some("dev".to_owned()), profiles: BTreeMap::new() };
        let profile = Profile { endpoint: Some("http://127.0.0.1:1".to_owned()), ..Profile::default() };
        config.profiles.insert("dev".to_owned(), profile);
        config.write(home.path()).unwrap();
        assert_eq!(Config::read(home.path()).unwrap(), config);
        fs::write(home.path().join("config.yaml"), "colour: red").unwrap();
        let error = format!("{:#}", Config::read(home.path()).unwrap_err());
        assert!(error.contains("unknown field `colour`"), "{error}");
    }

    #[test]
    fn the_profile_in_use() {
        let mut config = Config::default();
        assert_eq!(config.name_in_use(None).unwrap(), None);
        assert!(config.name_in_use(Some("a")).is_err());
        config.profiles.insert("a".to_owned(), Profile::default());
        assert_eq!(config.name_in_use(None).unwrap().as_deref(), Some("a"), "the only one");
        config.profiles.insert("b".to_owned(), Profile::default());
        assert_eq!(config.name_in_use(None).unwrap(), None, "one of two must be chosen");
        config.current = Some("b".to_owned());
        assert_eq!(config.name_in_use(None).unwrap().as_deref(), Some("b"));
        assert_eq!(config.name_in_use(Some("a")).unwrap().as_deref(), Some("a"));
    }

    fn text() -> String {
        let profile = Profile {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            key: Some("alice".to_owned()),
            account: Some(AccountNumber::new(42).unwrap()),
            genesis: Some(GenesisHash([7; 32])),
        };
        let profiles = [("dev".to_owned(), profile.clone()), ("work".to_owned(), profile)].into();
        serde_yaml::to_string(&Config { current: Some("dev".to_owned()), profiles }).unwrap()
    }

    proptest! {
        /// A damaged file is reported with its name and stays as it is; it is never taken for an empty one.
        #[test]
        fn damaged_files_are_read_or_named(text in valo_mutation::damaged_text(vec![text()])) {
            let home = tempfile::tempdir().unwrap();
            let path = home.path().join("config.yaml");
            fs::write(&path, &text).unwrap();
            match Config::read(home.path()) {
                Ok(config) => {
                    config.write(home.path()).unwrap();
                    prop_assert_eq!(Config::read(home.path()).unwrap(), config);
                }
                Err(error) => {
                    let line = crate::cli::output::error_line(&error);
                    prop_assert!(line.contains("config.yaml") && !line.contains('\n'), "{}", line);
                    prop_assert_eq!(fs::read_to_string(&path).unwrap(), text);
                }
            }
        }
    }
}
