use super::*;
use valo_protocol::SecretKey;

fn key(seed: u8) -> String {
    SecretKey::from_seed([seed; 32]).public().to_string()
}

fn object<T: serde::de::DeserializeOwned>(kind: &str, name: &str, spec: Value, status: Value) -> T {
    serde_json::from_value(json!({
        "apiVersion": "valo.network/v1alpha1", "kind": kind, "spec": spec, "status": status,
        "metadata": {"name": name, "namespace": "valo", "creationTimestamp": "2026-01-01T00:00:00Z"},
    }))
    .unwrap()
}

fn network(chain: Value) -> Network {
    object("Network", "demo", json!({"chain": chain}), Value::Null)
}

fn validators(replicas: i32, stake: Value, keys: u8) -> NodeTier {
    let spec = json!({"networkRef": {"name": "demo"}, "role": "validator", "replicas": replicas, "stake": stake});
    let nodes: Vec<Value> =
        (0..keys).map(|node| json!({"pod": format!("validators-{node}"), "publicKey": key(node + 1)})).collect();
    object("NodeTier", "validators", spec, json!({"nodes": nodes}))
}

fn wallet(name: &str, seed: u8) -> Wallet {
    object("Wallet", name, json!({"networkRef": {"name": "demo"}}), json!({"publicKey": key(seed)}))
}

fn chain() -> Value {
    json!({
        "preset": "dev",
        "parameters": {"epoch": "5s", "bytePrice": "0.00000002", "disjoint": "node", "minValidatorStake": "10"},
        "validators": [
            {"nodeTier": "validators", "count": 2, "stake": "1000"},
            {"publicKey": key(8), "ownerKey": key(9), "stake": "500"},
        ],
        "accounts": [{"walletRef": {"name": "alice"}, "balance": "5000"}],
        "tiers": [
            {"name": "small", "stakePerSlot": "100", "price": "0.05"},
            {"name": "closed", "stakePerSlot": "1", "price": "0.1", "isolation": "trusted", "admit": [key(100)]},
        ],
    })
}

fn described(chain: Value, tier: &NodeTier, wallets: &[Wallet]) -> Result<Result<ChainDescription, Waits>, String> {
    let network = network(chain);
    let new = network.spec.chain.clone().unwrap();
    describe(&network, &new, std::slice::from_ref(tier), wallets).map_err(|problem| problem.to_string())
}

fn one_owner() -> Value {
    json!({"perNode": "1000", "walletRef": {"name": "alice"}})
}

#[test]
fn a_network_gives_one_genesis_to_the_byte() {
    let made = || {
        let described = described(chain(), &validators(2, one_owner(), 2), &[wallet("alice", 100)]).unwrap().unwrap();
        described.genesis().unwrap()
    };
    assert_eq!(made().hash(), made().hash());
    let genesis = made();
    assert_eq!(genesis.time.0, 1_767_225_600_000, "that of the object, not of the pass");
    assert_eq!((genesis.parameters.epoch.0, genesis.parameters.byte_price), (5000, 20));
    assert_eq!(genesis.accounts.len(), 2, "alice, who owns the nodes of here, and the owner of the node of elsewhere");
    insta::assert_json_snapshot!(genesis);
}

#[test]
fn each_node_has_its_own_owner_with_a_template() {
    let template = json!({"perNode": "1000", "walletTemplate": {"fundFrom": "alice", "amount": "450"}});
    let wallets = [wallet("alice", 100), wallet("validators-0", 101), wallet("validators-1", 102)];
    let genesis = described(chain(), &validators(2, template, 2), &wallets).unwrap().unwrap().genesis().unwrap();
    let owners: Vec<u64> = genesis.nodes.iter().map(|node| node.owner.index()).collect();
    assert_eq!(owners, [1, 2, 3]);
    assert_eq!(genesis.accounts[1].balance.to_string(), "450");
}

#[test]
fn it_waits_for_keys_and_wallets_and_says_which() {
    let waits = |tier: &NodeTier, wallets: &[Wallet]| described(chain(), tier, wallets).unwrap().unwrap_err().0;
    let tier = validators(2, one_owner(), 1);
    assert_eq!(waits(&tier, &[]), "there is no Wallet alice of this Network yet");
    assert_eq!(waits(&tier, &[wallet("alice", 100)]), "validators-1 of NodeTier validators has no key yet");
    let mut keyless = wallet("alice", 100);
    keyless.status = None;
    assert_eq!(waits(&tier, &[keyless]), "Wallet alice has no key yet");
}

#[test]
fn what_cannot_be_names_its_field() {
    let wallets = [wallet("alice", 100)];
    let error = |chain, tier: &NodeTier| described(chain, tier, &wallets).unwrap_err();
    let few = validators(1, one_owner(), 2);
    assert!(error(chain(), &few).starts_with("spec.chain.validators[0].count: NodeTier validators has 1 replicas"));
    let mut unknown = chain();
    unknown["tiers"][1]["admit"][0] = json!(key(77));
    let tier = validators(2, one_owner(), 2);
    assert!(error(unknown, &tier).starts_with("spec.chain.tiers[1].admit[0]: no account"));
    let mut twice = chain();
    twice["accounts"] = json!([twice["accounts"][0], twice["accounts"][0]]);
    assert!(error(twice, &tier).starts_with("spec.chain.accounts[1]: the account of this key"));
}

/// The chart refuses stakes below it before there is a Network; its template language knows no parameters.
#[test]
fn the_chart_knows_the_least_stake_of_each_preset() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/valo-cluster/templates/_helpers.tpl");
    let helpers = std::fs::read_to_string(path).unwrap();
    for (name, preset) in
        [("dev", params::Preset::Dev), ("consortium", params::Preset::Consortium), ("public", params::Preset::Public)]
    {
        let least = valo_protocol::Parameters::preset(preset).min_validator_stake;
        assert!(helpers.contains(&format!("\"{name}\" \"{least}\"")), "{name}: {least}");
    }
}
