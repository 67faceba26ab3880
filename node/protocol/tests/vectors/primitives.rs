//! Integers, numbers, hashes, trees, randomness.

use super::{bytes, chain, golden, key};
use serde_json::{Value, json};
use valo_protocol::{
    AccountNumber, Amount, Digest, Hash, Height, PublicKey, Round, Validator, ValidatorSet, Varint,
    encoding::decode,
    files::{FileEntry, FileTree, OutputRecord, RunFailure, RunStatus, Trap},
    hash::BlobHash,
    job::{Attempt, JobId, ShardIndex, ShardKey, StageIndex},
    merkle::{self, MerkleTree},
    registry::NodeId,
    transaction::commitment,
    vrf,
};

#[test]
fn varints() {
    let values = [0, 1, 127, 128, 255, 300, 16_383, 16_384, 1 << 32, (1 << 42) - 1, 1 << 63, u64::MAX];
    let valid: Vec<Value> =
        values.iter().map(|value| json!({"value": value.to_string(), "bytes": bytes(&Varint(*value))})).collect();
    let invalid = [
        ("not the shortest form", "8000"),
        ("not the shortest form", "ff8000"),
        ("more than 64 bits", "ffffffffffffffffff02"),
        ("more than 10 bytes", "ffffffffffffffffffff01"),
        ("truncated", "80"),
        ("trailing byte", "0101"),
    ];
    for (_, text) in invalid {
        assert!(decode::<Varint>("integer", &hex::decode(text).unwrap()).is_err(), "{text}");
    }
    let invalid: Vec<Value> = invalid.iter().map(|(why, bytes)| json!({"why": why, "bytes": bytes})).collect();
    golden("varints", &json!({"valid": valid, "invalid": invalid}));
}

#[test]
fn account_numbers() {
    let numbers = [0, 1, 31, 32, 74, 1 << 20, 123_456_789_012, (1 << 40) - 1].map(|number| {
        let account = AccountNumber::new(number).unwrap();
        assert_eq!(account.to_string().parse(), Ok(account));
        json!({"number": number.to_string(), "text": account.to_string(), "bytes": bytes(&account)})
    });
    let read = ["0000oil0", "zzzzzzzz", "0000002a"].map(|text| {
        let account: AccountNumber = text.parse().unwrap();
        json!({"text": text, "number": account.index().to_string()})
    });
    let refused = ["", "0000002", "00000000A", "0000000U", "0000-002", "ééééaaaa"];
    for text in refused {
        assert!(text.parse::<AccountNumber>().is_err(), "{text}");
    }
    golden("account-numbers", &json!({"numbers": numbers, "alsoRead": read, "refused": refused}));
}

#[test]
fn amounts() {
    let amounts = [0, 1, 250_000_000, 1_000_000_000, 12_000_000_001, u64::MAX].map(|units| {
        let amount = Amount::from_units(units);
        assert_eq!(amount.to_string().parse(), Ok(amount));
        json!({"units": units.to_string(), "text": amount.to_string(), "bytes": bytes(&amount)})
    });
    let refused = ["", ".", "5.", ".5", "-1", "+1", "1e9", "0.0000000001", "1 ", "1,5", "99999999999"];
    for text in refused {
        assert!(text.parse::<Amount>().is_err(), "{text}");
    }
    golden("amounts", &json!({"amounts": amounts, "refused": refused}));
}

#[test]
fn merkle_trees() {
    let rows: Vec<Vec<u8>> = (0..11u8).map(|n| vec![n; usize::from(n)]).collect();
    let trees: Vec<Value> = (0..=rows.len())
        .map(|length| {
            let leaves = rows[..length].iter().map(|row| merkle::leaf(row)).collect();
            let tree = MerkleTree::from_leaves(leaves);
            let paths: Vec<Value> = (0..length)
                .map(|index| {
                    let index = u64::try_from(index).unwrap();
                    let path = tree.prove(index).unwrap();
                    assert_eq!(path.root(tree.leaf(index).unwrap(), index, tree.len()), Some(tree.root()));
                    json!({"index": index, "siblings": path, "bytes": bytes(&path)})
                })
                .collect();
            json!({"length": length, "root": tree.root(), "paths": paths})
        })
        .collect();
    let leaves: Vec<Value> =
        rows.iter().map(|row| json!({"row": hex::encode(row), "leaf": merkle::leaf(row)})).collect();
    golden("merkle", &json!({"rows": leaves, "trees": trees}));
}

#[test]
fn randomness() {
    let mut previous = Hash(chain().0);
    let links: Vec<Value> = (1u8..5)
        .map(|height| {
            let secret = key(height);
            let input = vrf::input(&previous, Height(height.into()));
            let proof = vrf::prove(&secret, &input).unwrap();
            let output = vrf::verify(&secret.public(), &input, &proof).unwrap();
            let randomness = vrf::chain(&previous, &output);
            let link = json!({
                "height": height, "previous": previous, "secretKey": hex::encode(secret.seed()),
                "publicKey": secret.public(), "input": hex::encode(input), "proof": hex::encode(proof.0),
                "output": hex::encode(output.0), "randomness": randomness,
            });
            previous = randomness;
            link
        })
        .collect();
    golden("randomness", &json!({"suite": "ECVRF-EDWARDS25519-SHA512-TAI (RFC 9381)", "links": links}));
}

#[test]
fn proposers() {
    let powers = [7u64, 50, 1, 1_000_000];
    let members = (1u8..).zip(powers).map(|(n, power)| Validator {
        key: key(n).public(),
        power,
        owner: AccountNumber::new(u64::from(n)).unwrap(),
    });
    let set = ValidatorSet::new(members.collect()).unwrap();
    let large = key(4).public();
    let draws: Vec<Value> = [vec![], vec![large], (1..5).map(|n| key(n).public()).collect::<Vec<PublicKey>>()]
        .into_iter()
        .flat_map(|skipped| {
            let set = &set;
            (0..6u32).map(move |round| {
                let (seed, height) = (Hash([round as u8; 32]), Height(u64::from(round / 2) + 7));
                let proposer =
                    set.proposer(&seed, &skipped.iter().copied().collect(), height, Round(round)).unwrap().key;
                json!({"seed": seed, "height": height, "round": round, "skipped": skipped, "proposer": proposer})
            })
        })
        .collect();
    golden("proposers", &json!({"set": set, "setBytes": bytes(&set), "setHash": set.hash(), "draws": draws}));
}

#[test]
fn commitments() {
    let cases = [(1, 0, 0, 0, 0), (7, 1, 2, 3, 4), (u64::MAX, 15, 99_999, 255, u32::MAX)];
    let cases = cases.map(|(job, stage, shard, attempt, node)| {
        let key = ShardKey { job: JobId(job), stage: StageIndex(stage), shard: ShardIndex(shard) };
        let (digest, salt) = (Digest([0xd1; 32]), [0x5a; 32]);
        let commitment = commitment(&chain(), key, Attempt(attempt), NodeId(node), &digest, &salt);
        json!({
            "genesis": chain(), "job": job.to_string(), "stage": stage, "shard": shard, "attempt": attempt, "node": node,
            "digest": digest, "salt": hex::encode(salt), "commitment": commitment, "shardKeyBytes": bytes(&key),
        })
    });
    golden("commitments", &json!(cases));
}

#[test]
fn output_records() {
    let file = |path: &str, contents: &[u8]| FileEntry {
        path: path.parse().unwrap(),
        size: u64::try_from(contents.len()).unwrap(),
        hash: BlobHash::of(contents),
    };
    let trees =
        [vec![], vec![file("out.txt", b"hello\n")], vec![file("b", b""), file("a/c", b"x"), file("a.x", b"yz")]];
    let statuses = [RunStatus::Failed(RunFailure::Trap(Trap::Unreachable)), RunStatus::Exited(0), RunStatus::Exited(3)];
    let records: Vec<Value> = statuses
        .into_iter()
        .zip(trees)
        .map(|(status, files)| {
            let record = OutputRecord { version: 1, status, fuel: 123_456, files: FileTree::new(files).unwrap() };
            json!({"record": record, "bytes": bytes(&record), "digest": record.digest()})
        })
        .collect();
    golden("output-records", &json!(records));
}
