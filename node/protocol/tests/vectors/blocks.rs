//! Headers, certificates, validator sets, genesis documents.

use super::{bytes, chain, golden, key};
use serde_json::{Value, json};
use valo_protocol::{
    AccountNumber, Amount, Genesis, Hash, Header, Height, Parameters, Round, Timestamp, Validator, ValidatorSet,
    block::{evidence_root, transactions_root},
    bytes::{BoundedString, BoundedVec},
    encoding::encode,
    genesis::{GenesisAccount, GenesisNode},
    hash::BlockId,
    params::Preset,
    proof::{StateTable, TableRoot, state_root},
    registry::{Admission, Isolation, NodeRole, Runtime, Tier, TierId},
    vote::{Certificate, CommitSignature, Proposal, Vote, VoteKind},
    vrf,
};

fn header(height: u64, next_validators: Option<Hash>) -> Header {
    let secret = key(2);
    Header {
        version: Header::VERSION,
        height: Height(height),
        round: Round(1),
        time: Timestamp(1_700_000_000_050),
        parent: BlockId([0x11; 32]),
        proposer: secret.public(),
        vrf_proof: vrf::prove(&secret, &vrf::input(&Hash([0x22; 32]), Height(height))).unwrap(),
        transactions: transactions_root(&[]),
        last_commit: Hash([0x33; 32]),
        evidence: evidence_root(&[]),
        state: Hash([0x44; 32]),
        next_validators,
    }
}

#[test]
fn headers() {
    let headers = [header(7, None), header(300, Some(Hash([0x55; 32])))].map(|header| {
        json!({
            "height": header.height, "round": header.round, "time": header.time, "parent": header.parent,
            "proposer": header.proposer, "vrfProof": hex::encode(header.vrf_proof.0),
            "transactions": header.transactions, "lastCommit": header.last_commit, "evidence": header.evidence,
            "state": header.state, "nextValidators": header.next_validators, "bytes": bytes(&header), "id": header.id(),
        })
    });
    golden("headers", &json!(headers));
}

#[test]
fn certificates() {
    let members = (1u8..5).map(|n| Validator {
        key: key(n).public(),
        power: u64::from(n) * 10,
        owner: AccountNumber::new(u64::from(n)).unwrap(),
    });
    let set = ValidatorSet::new(members.collect()).unwrap();
    let (height, block) = (Height(7), header(7, None).id());
    let mut signatures: Vec<(CommitSignature, Value)> = (2u8..5)
        .map(|n| {
            let secret = key(n);
            let vote = Vote {
                kind: VoteKind::Precommit,
                height,
                round: Round(1),
                block: Some(block),
                validator: secret.public(),
            };
            let signed = vote.signed_bytes(&chain());
            let signature = secret.sign(&signed);
            let described = json!({
                "secretKey": hex::encode(secret.seed()), "validator": secret.public(), "vote": bytes(&vote),
                "signedBytes": hex::encode(signed), "signature": signature,
            });
            (CommitSignature { validator: secret.public(), signature }, described)
        })
        .collect();
    signatures.sort_by_key(|(signature, _)| signature.validator);
    let (signatures, votes): (Vec<CommitSignature>, Vec<Value>) = signatures.into_iter().unzip();
    let certificate = Certificate { height, round: Round(1), block, signatures: BoundedVec::new(signatures).unwrap() };
    assert_eq!(certificate.verify(&chain(), &set), Ok(()));
    let proposal = Proposal { height, round: Round(2), block, valid_round: Some(Round(1)), proposer: key(2).public() };
    golden(
        "certificates",
        &json!({
            "genesis": chain(), "validators": set, "validatorsBytes": bytes(&set), "validatorsHash": set.hash(),
            "block": block, "height": height, "round": 1, "votes": votes, "bytes": bytes(&certificate),
            "hash": certificate.hash(),
            "proposal": {
                "bytes": bytes(&proposal), "signedBytes": hex::encode(proposal.signed_bytes(&chain())),
                "signature": key(2).sign(&proposal.signed_bytes(&chain())),
            },
        }),
    );
}

#[test]
fn state_roots() {
    let tables: Vec<TableRoot> = (0u8..)
        .zip(StateTable::ALL)
        .map(|(n, table)| TableRoot { table, length: u64::from(n) * 100, root: Hash([n; 32]) })
        .collect();
    golden("state-roots", &json!({"tables": tables, "bytes": bytes(&tables), "root": state_root(&tables)}));
}

#[test]
fn genesis_documents() {
    let tier = Tier {
        name: BoundedString::new("small").unwrap(),
        runtime: Runtime::Wasm,
        milli_cpu: 1000,
        memory: 256 << 20,
        accelerator: Some(BoundedString::new("gpu").unwrap()),
        stake_per_slot: Amount::from_valo(100).unwrap(),
        price: Amount::from_units(10_000_000),
        fuel_per_second: 100_000_000,
        isolation: Isolation::Trusted,
        admission: Admission::Owners(BoundedVec::new(vec![AccountNumber::new(1).unwrap()]).unwrap()),
    };
    let documents = [Preset::Dev, Preset::Consortium, Preset::Public].map(|preset| {
        let stake = Amount::from_valo(10_000).unwrap();
        let node = |n, role| GenesisNode {
            key: key(n).public(),
            owner: AccountNumber::new(u64::from(n % 2)).unwrap(),
            role,
            stake,
        };
        let genesis = Genesis {
            version: Genesis::VERSION,
            chain: BoundedString::new("vectors").unwrap(),
            time: Timestamp(1_700_000_000_000),
            fully_connected: preset == Preset::Dev,
            parameters: Parameters::preset(preset),
            accounts: BoundedVec::new(vec![
                GenesisAccount { key: key(1).public(), balance: Amount::from_valo(1000).unwrap() },
                GenesisAccount { key: key(2).public(), balance: Amount::from_units(1_000_000) },
            ])
            .unwrap(),
            tiers: BoundedVec::new(vec![tier.clone()]).unwrap(),
            nodes: BoundedVec::new(vec![
                node(3, NodeRole::Validator),
                node(4, NodeRole::Validator),
                node(5, NodeRole::Worker { tier: TierId(0), slots: 4 }),
            ])
            .unwrap(),
        };
        assert_eq!(genesis.check(), Ok(()));
        // The document as people write it says the same.
        let read: Genesis = serde_json::from_value(serde_json::to_value(&genesis).unwrap()).unwrap();
        assert_eq!(encode(&read), encode(&genesis));
        json!({"document": genesis, "bytes": bytes(&genesis), "hash": genesis.hash()})
    });
    golden("genesis", &json!(documents));
}
