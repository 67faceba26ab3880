//! Transactions of each kind, contracts, receipts.

use super::{bytes, chain, golden, key};
use serde_json::{Value, json};
use valo_protocol::{
    AccountNumber, Action, Amount, Digest, Duration, Hash, Height, JobContract, Parameters, Round, SignedTransaction,
    Timestamp, Transaction, Varint,
    amount::MAX_SUPPLY,
    bytes::{BoundedString, BoundedVec},
    files::{RunFailure, RunStatus},
    grant::{Grant, SignedGrant},
    hash::{BlobHash, BlockId, TransactionId},
    job::{Attempt, Input, JobId, Merge, OnFailure, Program, ShardIndex, ShardKey, Stage, StageIndex, Verification},
    params::Preset,
    receipt::{Made, Outcome, Reason, Receipt},
    registry::{NodeId, NodeRole, NodeState, TierId},
    transaction::{AbstainEntry, AbstainReason, Answer, CommitEntry, RevealEntry},
    vote::{Evidence, Vote, VoteKind},
};

fn text<const MAX: usize>(text: &str) -> BoundedString<MAX> {
    BoundedString::new(text).unwrap()
}

fn list<T, const MAX: usize>(items: Vec<T>) -> BoundedVec<T, MAX> {
    BoundedVec::new(items).ok().unwrap()
}

/// Two prevotes of one validator in one round.
fn double_vote() -> Evidence {
    let signed = |block| {
        let (kind, height, round) = (VoteKind::Prevote, Height(300), Round(1));
        let vote = Vote { kind, height, round, block, validator: key(3).public() };
        let signature = key(3).sign(&vote.signed_bytes(&chain()));
        (vote, signature)
    };
    Evidence::Votes { first: signed(Some(BlockId([4; 32]))), second: signed(None) }
}

fn contract() -> JobContract {
    let first = Stage {
        name: text("features"),
        tier: text("small"),
        program: Program::Wasm {
            module: BlobHash([1; 32]),
            args: list(vec![text("--layer"), text("1")]),
            fuel: Varint(2_000_000_000),
        },
        memory: 64 << 20,
        output: 8 << 20,
        input: Input::Files { manifest: BlobHash([2; 32]), shard_bytes: 4160 },
        shards: 8,
        on_failure: OnFailure::Fail,
    };
    let second = Stage {
        name: text("classify"),
        tier: text("large"),
        program: Program::Container {
            image: text(&format!("registry/name@sha256:{}", "ab".repeat(32))),
            command: list(vec![text("run")]),
            seconds: 60,
            milli_cpu: 500,
        },
        input: Input::Each { stage: StageIndex(0) },
        on_failure: OnFailure::Retry(2),
        ..first.clone()
    };
    let third = Stage {
        name: text("gather"),
        input: Input::All { stage: StageIndex(1) },
        shards: 1,
        on_failure: OnFailure::Continue,
        ..first.clone()
    };
    let contract = JobContract {
        name: text("digits"),
        stages: list(vec![first, second, third]),
        verification: Verification::Replicated { replicas: 3, quorum: 2 },
        budget: Amount::from_valo(5).unwrap(),
        tip: Amount::from_units(1_000),
        deadline: Timestamp(1_700_000_600_000),
        retention: Duration::from_seconds(86_400),
        merge: Merge::Concatenate,
    };
    assert_eq!(contract.check(), Ok(()));
    contract
}

fn shard(shard: u32) -> ShardKey {
    ShardKey { job: JobId(300), stage: StageIndex(1), shard: ShardIndex(shard) }
}

fn answer() -> Answer {
    Answer { digest: Digest([0xd1; 32]), status: RunStatus::Exited(0), fuel: Varint(1_999_999) }
}

/// A grant by the owner of the vectors, whose key is [`key`]`(1)`.
fn grant(role: NodeRole) -> SignedGrant {
    let grant = Grant {
        owner: AccountNumber::new(74).unwrap(),
        node: key(5).public(),
        role,
        stake: Amount::from_valo(10).unwrap(),
        endpoints: list(vec![text("203.0.113.4:7000"), text("[2001:db8::4]:7000")]),
        expires: Timestamp(1_700_000_600_000),
    };
    grant.sign(&chain(), &key(1))
}

#[test]
fn grants() {
    let grants = [NodeRole::Validator, NodeRole::Worker { tier: TierId(1), slots: 4 }].map(|role| {
        let signed = grant(role);
        assert!(signed.verify(&chain(), &key(1).public()));
        json!({
            "grant": signed.grant, "bytes": bytes(&signed.grant),
            "signedBytes": hex::encode(signed.grant.signed_bytes(&chain())), "signature": signed.signature,
            "signed": bytes(&signed),
        })
    });
    golden("grants", &json!({"genesis": chain(), "ownerKey": key(1).public(), "grants": grants}));
}

#[test]
fn contracts() {
    let contract = contract();
    golden("contracts", &json!([{"contract": contract, "bytes": bytes(&contract), "hash": contract.hash()}]));
}

#[test]
fn transactions() {
    let account = |number| AccountNumber::new(number).unwrap();
    let plain = |action| (74, 5u64, 20_000, action);
    let cases = [
        ("a transfer", plain(Action::Transfer { to: account(6), amount: Amount::from_valo(5).unwrap() })),
        (
            "a transfer of the most usual size",
            (
                (1 << 40) - 1,
                (1 << 14) - 1,
                (1 << 21) - 1,
                Action::Transfer { to: AccountNumber::MAX, amount: Amount::from_units((1 << 42) - 1) },
            ),
        ),
        (
            "the largest transfer",
            (
                (1 << 40) - 1,
                u64::MAX,
                MAX_SUPPLY.units(),
                Action::Transfer { to: AccountNumber::MAX, amount: MAX_SUPPLY },
            ),
        ),
        (
            "a transfer to a key",
            plain(Action::TransferToKey { key: key(9).public(), amount: Amount::from_valo(1).unwrap() }),
        ),
        ("a job", plain(Action::SubmitJob { client_id: None, contract: contract() })),
        ("a job with a client id", plain(Action::SubmitJob { client_id: Some([0xc1; 16]), contract: contract() })),
        ("a cancellation", plain(Action::CancelJob { job: JobId(300) })),
        (
            "a commit",
            plain(Action::Commit {
                entries: list(vec![
                    CommitEntry { shard: shard(0), attempt: Attempt(0), commitment: Hash([3; 32]) },
                    CommitEntry { shard: shard(200), attempt: Attempt(1), commitment: Hash([4; 32]) },
                ]),
            }),
        ),
        (
            "a reveal",
            plain(Action::Reveal {
                entries: list(vec![
                    RevealEntry { shard: shard(0), attempt: Attempt(0), answer: answer(), salt: [0x5a; 32] },
                    RevealEntry {
                        shard: shard(1),
                        attempt: Attempt(0),
                        answer: Answer { status: RunStatus::Failed(RunFailure::OutOfFuel), ..answer() },
                        salt: [0x5b; 32],
                    },
                ]),
            }),
        ),
        (
            "an abstention",
            plain(Action::Abstain {
                entries: list(vec![AbstainEntry {
                    shard: shard(7),
                    attempt: Attempt(2),
                    reason: AbstainReason::CannotFetch,
                }]),
            }),
        ),
        ("a return", plain(Action::Return)),
        ("a registration of a validator", plain(Action::RegisterNode { grant: grant(NodeRole::Validator) })),
        (
            "a registration of a worker",
            plain(Action::RegisterNode { grant: grant(NodeRole::Worker { tier: TierId(1), slots: 4 }) }),
        ),
        (
            "an update of a node",
            plain(Action::UpdateNode {
                node: NodeId(300),
                slots: Some(8),
                endpoints: Some(list(vec![text("203.0.113.4:7000")])),
            }),
        ),
        ("evidence of two votes", plain(Action::SubmitEvidence { evidence: Box::new(double_vote()) })),
        ("an unjail", plain(Action::Unjail)),
        ("a drain", plain(Action::Drain)),
        ("a removal of a node", plain(Action::RemoveNode { node: NodeId(300) })),
        ("a resumption of a node", plain(Action::ResumeNode { node: NodeId(300) })),
        ("a bond", plain(Action::Bond { node: NodeId(300), amount: Amount::from_valo(5).unwrap() })),
        ("an unbond", plain(Action::Unbond { node: NodeId(300), amount: Amount::from_valo(5).unwrap() })),
        ("a rebond", plain(Action::Rebond { node: NodeId(300), amount: Amount::from_valo(5).unwrap() })),
    ];
    let secret = key(1);
    let vectors: Vec<Value> = cases
        .into_iter()
        .map(|(what, (sender, nonce, max_fee, action))| {
            let transaction = Transaction {
                sender: account(sender),
                nonce: Varint(nonce),
                max_fee: Amount::from_units(max_fee),
                action,
            };
            let body = bytes(&transaction);
            let signed = transaction.clone().sign(&chain(), &secret);
            assert!(signed.verify(&chain(), &secret.public()));
            let wire = signed.to_bytes();
            assert_eq!(SignedTransaction::from_bytes(&wire).as_ref(), Ok(&signed));
            let weight = Parameters::preset(Preset::Public).weights.of(&transaction.action);
            json!({
                "what": what, "weight": weight.to_string(), "sender": transaction.sender, "nonce": nonce.to_string(),
                "maxFee": max_fee.to_string(), "body": body,
                "signedBytes": hex::encode(transaction.signed_bytes(&chain())), "id": signed.id(&chain()),
                "signature": signed.signature, "wire": hex::encode(&wire), "length": wire.len(),
            })
        })
        .collect();
    golden(
        "transactions",
        &json!({
            "genesis": chain(), "secretKey": hex::encode(secret.seed()), "publicKey": secret.public(),
            "transactions": vectors,
        }),
    );
}

#[test]
fn receipts() {
    let outcomes = [
        Outcome::Done(Made::Nothing),
        Outcome::Done(Made::Account(AccountNumber::new(12).unwrap())),
        Outcome::Done(Made::Job(JobId(300))),
        Outcome::Done(Made::ExistingJob(JobId(300))),
        Outcome::Done(Made::Node(NodeId(300))),
        Outcome::Failed(Reason::NoAccount(AccountNumber::MAX)),
        Outcome::Failed(Reason::InsufficientBalance {
            available: Amount::from_units(1),
            needed: Amount::from_units(2),
            minimum: Amount::from_units(3),
        }),
        Outcome::Failed(Reason::NodeIs(NodeState::Draining)),
        Outcome::Failed(Reason::QuorumAtRisk { alive: 20, total: 30 }),
    ];
    let receipts = outcomes.map(|outcome| {
        let receipt = Receipt {
            transaction: TransactionId([7; 32]),
            height: Height(1000),
            index: 3,
            fee: Amount::from_units(1830),
            outcome,
        };
        json!({"receipt": receipt, "bytes": bytes(&receipt)})
    });
    golden("receipts", &json!(receipts));
}
