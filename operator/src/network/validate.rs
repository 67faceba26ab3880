//! Decides what the genesis of a Network is, and refuses any other.

use super::{
    Error,
    dereference::Found,
    genesis::{self, GenesisProblem, Waits},
};
use crate::{chain::Chain, names};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use std::collections::BTreeMap;
use valo_client::types::Validators;
use valo_crds::{Network, NodeTier};
use valo_protocol::{Genesis, GenesisHash};

/// A Network that can be.
#[derive(Debug)]
pub struct Checked {
    /// Its genesis, or what it waits for.
    pub genesis: Result<Genesis, Waits>,
    /// The hash of the genesis, where that is enough for nodes to start: they get the document from their seeds.
    pub by_hash: Option<GenesisHash>,
    /// The NodeTiers of the Network.
    pub tiers: Vec<NodeTier>,
    /// The pods of the Network.
    pub pods: Vec<Pod>,
    /// The Services by which the world reaches nodes, by pod.
    pub external: BTreeMap<String, Service>,
    /// The chain, if a node answers.
    pub chain: Option<Chain>,
    /// Its validators.
    pub validators: Option<Validators>,
    /// Why no node answers.
    pub silent: Option<String>,
}

/// Checks a Network.
pub fn validate(network: &Network, found: Found) -> Result<Checked, Error> {
    let known = network.status.as_ref().and_then(|status| status.genesis_hash.as_ref()?.parse().ok());
    let genesis = genesis(network, &found, known)?;
    let join = network.spec.join.as_ref().filter(|_| super::is_by_hash(network));
    let by_hash = join.and_then(|join| join.genesis_hash.parse().ok());
    let Found { tiers, pods, external, chain, validators, silent, .. } = found;
    Ok(Checked { genesis, by_hash, tiers, pods, external, chain, validators, silent })
}

fn genesis(network: &Network, found: &Found, known: Option<GenesisHash>) -> Result<Result<Genesis, Waits>, Error> {
    if let Some(join) = &network.spec.join {
        for (index, seed) in join.seeds.iter().enumerate() {
            genesis::parsed(&format!("spec.join.seeds[{index}].key"), &seed.key)?;
        }
        let expected = join.genesis_hash.parse().ok();
        return match (&found.genesis, &found.given, &join.genesis_ref) {
            (Some(made), _, _) => Ok(Ok(of_hash(made, expected)?)),
            (None, Some(given), _) => Ok(Ok(of_hash(given, expected)?)),
            (None, None, Some(reference)) => {
                Ok(Err(Waits(format!("spec.join.genesisRef: there is no ConfigMap {} yet", reference.name))))
            }
            (None, None, None) => match &found.served {
                Some(served) if Some(served.hash()) == expected => Ok(Ok(served.clone())),
                // Nodes refuse it as well: whoever answers is none of them.
                Some(_) | None => Ok(Err(Waits("the nodes get it from their seeds, by its hash".to_owned()))),
            },
        };
    }
    if let Some(made) = &found.genesis {
        return Ok(Ok(of_hash(made, known)?));
    }
    let Some(chain) = &network.spec.chain else {
        return Err(GenesisProblem::field("spec.chain", "say one of chain and join").into());
    };
    let described = match genesis::describe(network, chain, &found.tiers, &found.wallets)? {
        Ok(described) => described,
        Err(waits) => return Ok(Err(waits)),
    };
    let built = described.genesis()?;
    match known.filter(|known| *known != built.hash()) {
        None => Ok(Ok(built)),
        Some(expected) => Err(GenesisProblem::Changed {
            config_map: names::genesis(&network.name_any()),
            found: built.hash(),
            expected,
        }
        .into()),
    }
}

/// The document of a ConfigMap, if it is the expected one.
fn of_hash(config_map: &ConfigMap, expected: Option<GenesisHash>) -> Result<Genesis, GenesisProblem> {
    let genesis = genesis::read(config_map)?;
    let found = genesis.hash();
    match expected.filter(|expected| *expected != found) {
        None => Ok(genesis),
        Some(expected) => Err(GenesisProblem::OtherChain { config_map: config_map.name_any(), found, expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{controller::causes, testing};
    use serde_json::json;
    use valo_protocol::SecretKey;
    use valo_resources_tests::{NEW, VALIDATORS, WALLET, WORKERS, set, yaml};

    /// What the samples of a new chain are about: its nodes and wallets have keys.
    fn found() -> Found {
        let key = |seed: u8| SecretKey::from_seed([seed; 32]).public().to_string();
        let mut validators = yaml(VALIDATORS);
        let node =
            |index: u8| json!({"pod": format!("validators-{index}"), "publicKey": key(index + 1), "ready": true});
        validators["status"] = json!({"nodes": (0..4).map(node).collect::<Vec<_>>()});
        let mut wallet = set(&yaml(WALLET), "metadata.name", "alice".into());
        wallet["status"] = json!({"publicKey": key(100)});
        let tiers = vec![testing::read(validators), testing::read(yaml(WORKERS))];
        Found { tiers, wallets: vec![testing::read(wallet)], ..Found::default() }
    }

    fn refused(network: &Network) -> Option<String> {
        validate(network, found()).err().map(|error| causes(&error))
    }

    #[test]
    fn what_the_api_server_cannot_refuse_is_told_by_its_field() {
        let good = testing::read(yaml(NEW));
        assert_eq!(refused(&good), None);
        assert!(validate(&good, found()).unwrap().genesis.is_ok());
        for (case, network, says) in testing::wrong::<Network>() {
            let said = refused(&network).unwrap_or_default();
            assert!(said.starts_with(&says), "{case}: {said}");
        }
    }
}
