//! From a YAML file to money that comes back: what a user writes, what a program may do, and how it ends.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::Path,
};
use valo_e2e::{Network, Node, User, programs};
use valo_protocol::{
    AccountNumber, Amount, Genesis, Parameters, PublicKey, SecretKey, Timestamp,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    registry::{Admission, Isolation, NodeRole, Runtime, Tier, TierId},
};

/// Never ends by itself.
const ENDLESS: &str = r#"(module (func (export "_start") (loop (br 0))))"#;

#[test]
fn what_cannot_be_submitted_is_told_in_one_line() -> anyhow::Result<()> {
    let network = Network::of_tiers(1, 3, "small")?;
    programs::wat(&network, "program", r#"(module (func (export "_start")))"#, "fuel: 1M")?;
    let program = "{module: program.wasm, fuel: 1M}";
    let good = programs::document(program, 1, "");
    programs::wat(&network, "library", r#"(module (memory (export "memory") 1))"#, "fuel: 1M")?;
    programs::wat(&network, "imports", r#"(module (import "env" "now" (func)) (func (export "_start")))"#, "fuel: 1M")?;
    let stage = |line: &str| format!("{good}    {line}\n");
    for (name, text, words) in [
        ("unknown", programs::document(program, 1, "  colour: red\n"), "spec: unknown field `colour`"),
        ("unknown-in-stage", stage("replica: 3"), "spec.stages[0]: unknown field `replica`"),
        ("fuel", good.replace("fuel: 1M", "fuel: 1Mi"), "spec.stages[0].wasm.fuel"),
        ("memory", good.replace("fuel: 1M", "memory: 64MB"), "spec.stages[0].wasm.memory"),
        ("time", good.replace("10m", "10min"), "spec.deadline"),
        ("past", good.replace("10m", "2020-01-01T00:00:00Z"), "spec.deadline: it is in the past"),
        ("too-long", good.replace("10m", "100000h"), "spec.deadline"),
        ("too-short", good.replace("10m", "1ms"), "spec.deadline: 1ms is too short"),
        ("heavy", programs::document(program, 100_000, ""), "more than a block of this network takes"),
        ("no-command", good.replace("program.wasm", "library.wasm"), "it exports no function _start"),
        ("imports", good.replace("program.wasm", "imports.wasm"), "imports \"env\" \"now\""),
        ("nowhere", good.replace("program.wasm", &format!("\"blake3:{}\"", "0".repeat(64))), "no node has blob"),
        ("module", good.replace("program.wasm", "nowhere.wasm"), "there is no file"),
        ("no-module", good.replace("program.wasm", "fuel.yaml"), "is not a WebAssembly module"),
        ("input", stage("input: {file: nowhere.bin}").replace("    shards: 1\n", ""), "there is no file"),
        ("budget", good.replace("\"5\"", "\"0.00001\""), "spec.budget"),
        ("wealth", good.replace("\"5\"", "\"2000000\""), "the budget and the fee take"),
        ("dear", good.replace("fuel: 1M", "fuel: 900G"), "spec.stages[0].wasm.fuel"),
        ("tier", good.replace("tier: small", "tier: vast"), "there is no tier `vast`"),
        (
            "replicas",
            programs::document(program, 1, "  verification: {replicas: 5, quorum: 3}\n"),
            "spec.verification.replicas",
        ),
        ("not-yaml", "spec: [".to_owned(), "not-yaml.yaml"),
        ("empty", String::new(), "empty.yaml"),
    ] {
        let file = programs::write(&network, &format!("{name}.yaml"), &text)?;
        network.fail_with(&["job", "submit", &file, "--yes"], words).with_context(|| name.to_owned())?;
        network.fail_with(&["job", "estimate", &file], words).or_else(|error| match name {
            // An estimate needs no account that could pay.
            "wealth" => Ok(()),
            _ => Err(error.context(format!("{name}, estimated"))),
        })?;
    }
    for (arguments, words) in [
        (&["job", "submit", "nowhere.yaml", "--yes"][..], "nowhere.yaml"),
        (&["job", "watch", "77"], "77"),
        (&["job", "cancel", "77", "--yes"], "77"),
        (&["job", "logs", "77"], "77"),
        (&["job", "explain", "77"], "77"),
        (&["job", "result", "77", "--out", "nowhere"], "77"),
        (&["job", "logs", "1", "--shard", "x"], "stage/shard"),
    ] {
        network.fail_with(arguments, words)?;
    }
    ensure!(network.json(&["job", "list"])?.as_array().is_some_and(Vec::is_empty), "something was submitted");
    // A client id names one contract: with the same one it is the same job, with another one a mistake.
    let submit = |name: &str, text: &str| {
        let file = programs::write(&network, name, text)?;
        Ok::<_, anyhow::Error>(
            ["job", "submit", &file, "-q", "--yes", "--client-id", &"5a".repeat(16)].map(str::to_owned),
        )
    };
    let (one, other) = (submit("one.yaml", &good)?, submit("other.yaml", &programs::document(program, 2, ""))?);
    let (one, other) = (one.each_ref().map(String::as_str), other.each_ref().map(String::as_str));
    network.succeed(&one)?;
    let before = balance(&network)?;
    let again = network.succeed(&one)?;
    ensure!(again.contains("job 1 (test) was submitted before; no transaction was made"), "{again}");
    ensure!(balance(&network)? == before, "asking again cost something");
    network.fail_with(&other, "names job 1, which has another contract")?;
    Ok(())
}

#[test]
fn programs_that_fail_end_their_job_with_a_reason_and_money_comes_back() -> anyhow::Result<()> {
    let network = Network::of_tiers(1, 3, "small")?;
    let start = |body: &str| format!(r#"(module (memory (export "memory") 1) (func (export "_start") {body}))"#);
    let wasi = |body: &str| {
        format!(
            r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 2) (data (i32.const 60000) "file")
            (data (i32.const 60016) "\00\00\00\00\00\ff\00\00") (data (i32.const 70000) "hello\n")
            (data (i32.const 70016) "\70\11\01\00\06\00\00\00")
            (func (export "_start") {body}))"#
        )
    };
    // fd 4 is /out; the vector at 60016 is 65,280 bytes from 0.
    let floods = "(drop (call $open (i32.const 4) (i32.const 0) (i32.const 60000) (i32.const 4) (i32.const 1)
        (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 60008)))
        (loop (drop (call $write (i32.load (i32.const 60008)) (i32.const 60016) (i32.const 1) (i32.const 60024))) (br 0))";
    let speaks = "(drop (call $write (i32.const 1) (i32.const 70016) (i32.const 1) (i32.const 60024)))";
    let hog = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable";
    let cases = [
        ("traps", start("unreachable"), "the program trapped"),
        ("loops", ENDLESS.to_owned(), "the program used up its fuel"),
        ("eats", start(hog), "more memory than the contract allows"),
        ("floods", wasi(floods), "wrote more than the contract allows"),
        ("exits", wasi(&format!("{speaks} (call $exit (i32.const 3))")), "exit code 3"),
    ];
    let limits = "fuel: 20M, memory: 16Mi, output: 64Ki";
    for (job, (name, text, words)) in (1u64..).zip(cases) {
        let job = job.to_string();
        let before = balance(&network)?;
        let file = programs::wat(&network, name, &text, limits)?;
        // Watched or not, a job that fails is exit code 1 and says why; the line that says so is the last.
        let said = network.fail(&["job", "submit", &file, "--watch", "--yes"])?;
        let last = said.lines().last().unwrap_or_default();
        ensure!(last.starts_with("error: ") && last.contains(words), "{name}: {said}");
        network.fail_with(&["job", "watch", &job, "-q"], words)?;
        let explained = network.json(&["job", "explain", &job])?;
        ensure!(explained["phase"] == "failed", "{name}: {explained}");
        ensure!(
            explained["reason"]["shard"]["reason"]["status"].is_object(),
            "{name}: no typed reason: {}",
            explained["reason"]
        );
        ensure!(explained["slashed"] == "0", "{name}: {explained}");
        refunded(&network, &job, &before, false)?;
    }
    // What it printed is there though it failed, and one job that worked can be followed afterwards.
    let logs = network.succeed(&["job", "logs", "5"])?;
    ensure!(logs.matches("stdout hello").count() >= 2, "{logs}");
    let logs = network.json(&["job", "logs", "5", "--shard", "0/0"])?;
    ensure!(logs[0]["logs"][0]["stdout"] == "hello\n", "{logs}");
    let file = programs::wat(&network, "speaks", &wasi(speaks), limits)?;
    network.succeed(&["job", "submit", &file, "--yes"])?;
    network.succeed(&["job", "watch", "6"])?;

    // One that would go on for long is cancelled: nothing was earned, so all of it comes back.
    let before = balance(&network)?;
    let file = programs::wat(&network, "endless", ENDLESS, "fuel: 30G")?;
    network.succeed(&["job", "submit", &file, "--yes"])?;
    network.wait("it to run", |user| Ok(user.phase(7)? == "running"))?;
    network.succeed(&["job", "cancel", "7", "--yes"])?;
    network.fail_with(&["job", "watch", "7", "-q"], "cancelled by its submitter")?;
    network.fail_with(&["job", "cancel", "7", "--yes"], "already over")?;
    refunded(&network, "7", &before, true)
}

fn amount(value: &Value) -> anyhow::Result<Amount> {
    Ok(value.as_str().with_context(|| format!("{value} is no amount"))?.parse()?)
}

fn balance(network: &Network) -> anyhow::Result<Amount> {
    amount(&network.json(&["account", "show"])?["balance"])
}

/// Waits until a job has given back what it did not spend: paid and returned are its budget, to the unit.
fn refunded(network: &Network, job: &str, before: &Amount, nothing_earned: bool) -> anyhow::Result<()> {
    let budget = Amount::from_valo(5).context("too much")?;
    network.wait("the rest of the budget", |user| Ok(user.json(&["job", "explain", job])?["refunded"] != "0"))?;
    let explained = network.json(&["job", "explain", job])?;
    let (paid, refunded) = (amount(&explained["paid"])?, amount(&explained["refunded"])?);
    ensure!(paid.checked_add(refunded) == Some(budget), "{paid} paid and {refunded} returned of {budget} VALO");
    ensure!(!nothing_earned || paid.is_zero(), "job {job} paid {paid} VALO for nothing");
    // Of the account: what was paid, and fees, of which there are far fewer than 0.1 VALO.
    let lost = before.checked_sub(balance(network)?).context("the balance grew")?;
    let fees = lost.checked_sub(paid).with_context(|| format!("{lost} VALO are gone, but {paid} were paid"))?;
    ensure!(fees < Amount::from_units(100_000_000), "job {job}: {fees} VALO of fees");
    Ok(())
}

#[test]
fn a_network_by_hand_computes_a_job() -> anyhow::Result<()> {
    let user = User::new()?;
    user.succeed(&["key", "generate", "alice", "--plain"])?;
    let alice: PublicKey = user.json(&["key", "show", "alice"])?["publicKey"].as_str().context("no key")?.parse()?;
    let keys = (1..=4u8).map(|seed| SecretKey::from_seed([seed; 32])).collect::<Vec<_>>();
    let genesis = genesis(alice, &keys)?;
    let file = programs::write(&user, "genesis.json", &serde_json::to_string(&genesis)?)?;
    let hash = genesis.hash().to_string();
    // Each with its addresses; held until all are chosen.
    let ports = (0..4).map(|_| Ok((TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?)));
    let ports = ports.collect::<anyhow::Result<Vec<_>>>()?;
    let addresses = ports.iter().map(|(tcp, udp)| Ok((tcp.local_addr()?.to_string(), udp.local_addr()?.to_string())));
    let addresses = addresses.collect::<anyhow::Result<Vec<_>>>()?;
    drop(ports);
    let seed = format!("{}@{}", keys[0].public(), addresses[0].1);
    let mut nodes = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let (name, home) = (format!("node-{number}"), user.path(&format!("node-{number}")));
        let key = programs::write(&user, &format!("{name}.key"), &hex::encode(key.seed()))?;
        let home_text = home.display().to_string();
        let (consensus, network) = &addresses[number];
        let mut init =
            vec!["init", "--home", &home_text, "--genesis", &file, "--genesis-hash", &hash, "--node-key", &key];
        init.extend(["--name", &name, "--api", "127.0.0.1:0", "--consensus", consensus, "--network", network]);
        if number > 0 {
            init.extend(["--peer", &addresses[0].0, "--seed", &seed]);
        }
        let made = user.succeed(&init)?;
        ensure!(made.contains("in the genesis"), "{made}");
        // Nothing that is there is overwritten.
        let before = fs::read(home.join("node.key"))?;
        let line = user.fail(&init)?;
        ensure!(line.starts_with("error: ") && line.lines().count() == 1, "{line}");
        ensure!(fs::read(home.join("node.key"))? == before);
        nodes.push(Node::run(&user, &home)?);
    }
    user.fail_with(&["init", "--home", "x", "--genesis", &file, "--genesis-hash", &"0".repeat(64)], "has hash")?;
    user.fail_with(&["run", "--home", &user.path("nowhere").display().to_string()], "nowhere")?;
    ensure!(!Path::new("x").exists(), "a refused init left a folder");

    // Through the API of a worker: any node will do.
    user.succeed(&["profile", "set", "hand", "--endpoint", &nodes[3].endpoint, "--key", "alice", "--genesis", &hash])?;
    user.succeed(&["profile", "use", "hand"])?;
    user.wait("the first block", |user| Ok(user.run(&["account", "show"])?.status.success()))?;
    let job = programs::primes(&user, 2, "")?;
    user.succeed(&["job", "submit", &job, "--watch", "--yes"])?;
    user.succeed(&["verify", "1"])?;
    let out = user.path("primes").display().to_string();
    user.succeed(&["job", "result", "1", "--out", &out])?;
    Ok(())
}

/// A validator and three workers of different owners, and a user with money.
fn genesis(user: PublicKey, keys: &[SecretKey]) -> anyhow::Result<Genesis> {
    let valo = |amount| Amount::from_valo(amount).context("too much");
    let mut accounts = vec![GenesisAccount { key: user, balance: valo(1_000)? }];
    let mut nodes = Vec::new();
    for (number, key) in (1u64..).zip(keys) {
        let owner = SecretKey::from_seed([100 + u8::try_from(number)?; 32]).public();
        accounts.push(GenesisAccount { key: owner, balance: valo(10)? });
        let (role, stake) = match number {
            1 => (NodeRole::Validator, valo(1_000)?),
            _ => (NodeRole::Worker { tier: TierId(0), slots: 2 }, valo(200)?),
        };
        nodes.push(GenesisNode { key: key.public(), owner: AccountNumber::new(number)?, role, stake });
    }
    let tier = Tier {
        name: BoundedString::new("small")?,
        runtime: Runtime::Wasm,
        milli_cpu: 1000,
        memory: 256 << 20,
        accelerator: None,
        stake_per_slot: valo(100)?,
        price: Amount::from_units(50_000_000),
        fuel_per_second: 100_000_000,
        isolation: Isolation::Sandboxed,
        admission: Admission::Open,
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(Genesis {
        version: Genesis::VERSION,
        chain: BoundedString::new("by-hand")?,
        time: Timestamp(u64::try_from(now.as_millis())?),
        fully_connected: false,
        parameters: Parameters::preset(Preset::Dev),
        accounts: BoundedVec::new(accounts)?,
        tiers: BoundedVec::new(vec![tier])?,
        nodes: BoundedVec::new(nodes)?,
    })
}
