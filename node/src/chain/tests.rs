//! Two validators that hand each other blocks, without any engine.

use super::*;
use proptest::prelude::*;
use std::sync::Mutex;
use valo_ledger::fees;
use valo_protocol::{
    AccountNumber, Action, Amount, Parameters, SignedTransaction, Transaction, TransactionId, Varint,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    proof::StateTable,
    registry::NodeRole,
    vote::{CommitSignature, Vote, VoteKind},
};

/// A source that offers whatever it is given, verified or not.
#[derive(Debug, Default)]
struct Offered(Mutex<Vec<SignedTransaction>>);

impl TransactionSource for Offered {
    fn candidates(&self, _max_bytes: usize) -> Vec<SignedTransaction> {
        self.0.lock().unwrap().clone()
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    fn verified(&self, _id: &TransactionId, _transaction: &SignedTransaction) -> bool {
        false
    }

    fn finalized(&self, _block: &FinalizedBlock) {
        self.0.lock().unwrap().clear();
    }
}

struct Node {
    key: SecretKey,
    disk: MemoryDisk,
    offered: Arc<Offered>,
    chain: Chain<MemoryDisk>,
}

struct Pair {
    genesis: Arc<Genesis>,
    nodes: [Node; 2],
}

const START: Timestamp = Timestamp(1_700_000_000_000);

fn owner() -> SecretKey {
    SecretKey::from_seed([9; 32])
}

fn open(genesis: &Arc<Genesis>, key: &SecretKey, disk: &MemoryDisk, offered: &Arc<Offered>) -> Chain<MemoryDisk> {
    Chain::open(genesis.clone(), key.clone(), disk.clone(), Arc::new(disk.clone()), offered.clone()).unwrap()
}

impl Pair {
    fn new() -> Self {
        let keys = [1, 2].map(|seed| SecretKey::from_seed([seed; 32]));
        let nodes = keys.iter().map(|key| GenesisNode {
            key: key.public(),
            owner: AccountNumber::default(),
            role: NodeRole::Validator,
            stake: Amount::from_valo(10).unwrap(),
        });
        let genesis = Arc::new(Genesis {
            version: Genesis::VERSION,
            chain: BoundedString::new("test").unwrap(),
            time: START,
            fully_connected: false,
            parameters: Parameters::preset(Preset::Dev),
            accounts: BoundedVec::new(vec![GenesisAccount {
                key: owner().public(),
                balance: Amount::from_valo(100).unwrap(),
            }])
            .unwrap(),
            tiers: BoundedVec::default(),
            nodes: BoundedVec::new(nodes.collect()).unwrap(),
        });
        let nodes = keys.map(|key| {
            let disk = MemoryDisk::with_genesis(&genesis).unwrap();
            let offered = Arc::new(Offered::default());
            let chain = open(&genesis, &key, &disk, &offered);
            Node { key, disk, offered, chain }
        });
        Self { genesis, nodes }
    }

    /// The proposer of a round of the next height, and the other one.
    fn turn(&mut self, round: Round) -> (&mut Node, &mut Node) {
        let proposer = self.nodes[0].chain.ledger().proposer(round).unwrap().key;
        let [first, second] = &mut self.nodes;
        if first.key.public() == proposer { (first, second) } else { (second, first) }
    }

    fn certificate(&self, height: Height, round: Round, block: BlockId) -> Certificate {
        let mut signatures: Vec<CommitSignature> = self
            .nodes
            .iter()
            .map(|node| {
                let validator = node.key.public();
                let vote = Vote { kind: VoteKind::Precommit, height, round, block: Some(block), validator };
                CommitSignature { validator, signature: node.key.sign(&vote.signed_bytes(&self.genesis.hash())) }
            })
            .collect();
        signatures.sort_by_key(|signature| signature.validator);
        Certificate { height, round, block, signatures: BoundedVec::new(signatures).unwrap() }
    }

    /// One block, proposed, accepted and decided by both.
    fn block(&mut self, now: Timestamp) -> Arc<FinalizedBlock> {
        let (proposer, other) = self.turn(Round(0));
        let stream = proposer.chain.propose(Round(0), now).unwrap();
        let offer = deliver(&stream, &mut other.chain, now).expect("a block");
        assert!(offer.valid);
        let certificate = self.certificate(self.nodes[0].chain.next_height(), Round(0), stream.block);
        let [first, second] = &mut self.nodes;
        second.chain.decide(certificate.clone()).unwrap();
        first.chain.decide(certificate).unwrap()
    }
}

fn deliver(stream: &Stream, chain: &mut Chain<MemoryDisk>, now: Timestamp) -> Option<Offer> {
    let parts = (0u64..).zip(&stream.parts);
    parts.fold(None, |offer, (sequence, part)| {
        offer.or(chain.receive(b"peer", &stream.name, sequence, part.clone(), now).unwrap())
    })
}

fn transfer(genesis: &Genesis, nonce: u64, key: &SecretKey) -> SignedTransaction {
    let action = Action::Transfer { to: genesis.node_account(0).unwrap(), amount: Amount::from_valo(1).unwrap() };
    let mut transaction =
        Transaction { sender: AccountNumber::default(), nonce: Varint(nonce), max_fee: Amount::ZERO, action };
    transaction.max_fee = fees::fee(&transaction, 200, &genesis.parameters);
    transaction.sign(&genesis.hash(), key)
}

/// The same block with another content, announced and signed anew by its proposer.
fn forged(node: &Node, genesis: &Genesis, stream: &Stream, change: impl FnOnce(&mut Block)) -> Stream {
    let Some(parts::Part::Start { proposal, .. }) = stream.parts.first() else { panic!("a first part") };
    let candidate = node.chain.candidates.get(&stream.block).unwrap();
    let mut block = (*candidate.block).clone();
    change(&mut block);
    let mut proposal = proposal.clone();
    proposal.block = block.header.id();
    let signature = node.key.sign(&proposal.signed_bytes(&genesis.hash()));
    let parts = parts::split(proposal.clone(), signature, &block.to_bytes().into());
    Stream { block: proposal.block, name: parts::stream_name(&proposal), parts }
}

#[test]
fn a_height_and_round_is_answered_with_the_same_block_for_ever() {
    let mut pair = Pair::new();
    let genesis = pair.genesis.clone();
    pair.block(Timestamp(START.0 + 100));
    let (proposer, _) = pair.turn(Round(0));
    let first = proposer.chain.propose(Round(0), Timestamp(START.0 + 300)).unwrap();
    proposer.offered.0.lock().unwrap().push(transfer(&genesis, 0, &owner()));
    let again = proposer.chain.propose(Round(0), Timestamp(START.0 + 400)).unwrap();
    assert_eq!((again.block, again.parts), (first.block, first.parts.clone()));
    // The power goes; the node comes back from its disk.
    let mut risen = open(&genesis, &proposer.key, &proposer.disk, &proposer.offered);
    let again = risen.propose(Round(0), Timestamp(START.0 + 500)).unwrap();
    assert_eq!((again.block, again.parts), (first.block, first.parts));
}

#[test]
fn only_the_proposer_of_the_round_is_listened_to() {
    let mut pair = Pair::new();
    let now = Timestamp(START.0 + 100);
    let (proposer, other) = pair.turn(Round(0));
    let (proposer_key, other_key) = (proposer.key.clone(), other.key.clone());
    let stream = proposer.chain.propose(Round(0), now).unwrap();
    let genesis = pair.genesis.hash();
    let (_, other) = pair.turn(Round(0));
    for (name, signer) in [("the other one's name", &other_key), ("the proposer's name", &other_key)] {
        let mut wrong = stream.clone();
        let Some(parts::Part::Start { proposal, signature, .. }) = wrong.parts.first_mut() else { panic!() };
        proposal.proposer = if name.starts_with("the other") { other_key.public() } else { proposer_key.public() };
        *signature = signer.sign(&proposal.signed_bytes(&genesis));
        wrong.name = parts::stream_name(proposal);
        assert_eq!(deliver(&wrong, &mut other.chain, now), None, "signed by another in {name}");
    }
    assert!(deliver(&stream, &mut other.chain, now).expect("a block").valid);
}

#[test]
fn blocks_that_break_a_rule_are_refused_and_voted_down_at_once() {
    let now = Timestamp(START.0 + 100);
    type Change = fn(&mut Block, &Genesis);
    let changes: [(&str, Change); 5] = [
        ("another state", |block, _| block.header.state = Default::default()),
        ("time of the parent", |block, _| block.header.time = START),
        ("contents that are not those of the header", |block, genesis| {
            block.transactions.push(transfer(genesis, 0, &owner()));
        }),
        ("a transaction signed by another", |block, genesis| {
            block.transactions.push(transfer(genesis, 0, &SecretKey::from_seed([77; 32])));
            block.header.transactions = valo_protocol::block::transactions_root(&block.transactions);
        }),
        ("a transaction whose nonce leaves a gap", |block, genesis| {
            block.transactions.push(transfer(genesis, 5, &owner()));
            block.header.transactions = valo_protocol::block::transactions_root(&block.transactions);
        }),
    ];
    for (what, change) in changes {
        let mut pair = Pair::new();
        let genesis = pair.genesis.clone();
        let (proposer, other) = pair.turn(Round(0));
        let stream = proposer.chain.propose(Round(0), now).unwrap();
        let forged = forged(proposer, &genesis, &stream, |block| change(block, &genesis));
        assert!(!deliver(&forged, &mut other.chain, now).expect(what).valid, "{what}");
        assert_eq!(other.disk.proposed(Height(1)).unwrap(), vec![], "{what} is not kept");
    }
}

#[test]
fn a_transaction_with_a_bad_signature_stays_out_of_the_block() {
    let mut pair = Pair::new();
    let genesis = pair.genesis.clone();
    let (proposer, _) = pair.turn(Round(0));
    *proposer.offered.0.lock().unwrap() =
        vec![transfer(&genesis, 0, &SecretKey::from_seed([77; 32])), transfer(&genesis, 0, &owner())];
    let finalized = pair.block(Timestamp(START.0 + 100));
    assert_eq!(finalized.block.transactions, vec![transfer(&genesis, 0, &owner())]);
    assert_eq!(finalized.receipts.len(), 1);
}

#[test]
fn a_block_from_the_future_is_not_voted_for_until_its_time_and_is_good_when_others_decided_it() {
    let mut pair = Pair::new();
    let later = Timestamp(START.0 + 10_000);
    let (proposer, other) = pair.turn(Round(0));
    let stream = proposer.chain.propose(Round(0), later).unwrap();
    let early = Timestamp(later.0 - MAX_CLOCK_LEAD.0 - 1);
    assert!(!deliver(&stream, &mut other.chain, early).expect("a block").valid);
    // Late nodes do not ask their clock.
    let bytes = proposer.chain.candidates.get(&stream.block).unwrap().bytes.clone();
    let offer = other.chain.receive_decided(Height(1), Round(0), &bytes).unwrap().expect("a block");
    assert!(offer.valid);
    let certificate = pair.certificate(Height(1), Round(0), stream.block);
    let (_, other) = pair.turn(Round(0));
    other.chain.decide(certificate).unwrap();

    let mut pair = Pair::new();
    let (proposer, other) = pair.turn(Round(0));
    let stream = proposer.chain.propose(Round(0), later).unwrap();
    assert!(deliver(&stream, &mut other.chain, Timestamp(early.0 + 1)).expect("a block").valid, "just in time");
}

#[test]
fn a_block_whose_time_has_come_is_still_there_after_a_crash() {
    let mut pair = Pair::new();
    let genesis = pair.genesis.clone();
    let later = Timestamp(START.0 + 10_000);
    let (proposer, other) = pair.turn(Round(0));
    let stream = proposer.chain.propose(Round(0), later).unwrap();
    let early = Timestamp(later.0 - MAX_CLOCK_LEAD.0 - 1);
    assert!(!deliver(&stream, &mut other.chain, early).expect("a block").valid);
    assert!(deliver(&stream, &mut other.chain, later).expect("a block").valid, "sent again");
    // The engine's log says that it is good, and its certificate is there.
    other.chain = open(&genesis, &other.key, &other.disk, &other.offered);
    let certificate = pair.certificate(Height(1), Round(0), stream.block);
    let (_, other) = pair.turn(Round(0));
    assert_eq!(other.chain.decide(certificate).unwrap().id, stream.block);
}

#[test]
fn what_a_peer_sends_for_a_decided_block_is_checked() {
    let mut pair = Pair::new();
    let (proposer, other) = pair.turn(Round(0));
    let stream = proposer.chain.propose(Round(0), Timestamp(START.0 + 100)).unwrap();
    let bytes = proposer.chain.candidates.get(&stream.block).unwrap().bytes.clone();
    assert_eq!(other.chain.receive_decided(Height(1), Round(0), b"junk").unwrap(), None);
    assert_eq!(other.chain.receive_decided(Height(2), Round(0), &bytes).unwrap(), None, "another height");
    assert_eq!(other.chain.receive_decided(Height(1), Round(0), &bytes[..bytes.len() - 1]).unwrap(), None);
}

#[test]
fn a_row_is_proven_at_once_or_with_the_next_block() {
    let mut pair = Pair::new();
    let genesis = pair.genesis.clone();
    pair.block(Timestamp(START.0 + 100));
    let set = genesis.validators().unwrap();
    let prove = |pair: &Pair, table, index| pair.nodes[0].chain.prove(table, index).unwrap();
    let Proof::Ready(proof) = prove(&pair, StateTable::Accounts, 0) else { panic!("nobody touched the account") };
    assert_eq!(proof.verify(&genesis.hash(), &set), Ok(()));

    for node in &pair.nodes {
        node.offered.0.lock().unwrap().push(transfer(&genesis, 0, &owner()));
    }
    let before = pair.nodes[0].chain.ledger().view().account(AccountNumber::default()).unwrap().unwrap();
    pair.block(Timestamp(START.0 + 200));
    let Proof::Next(row) = prove(&pair, StateTable::Accounts, 0) else { panic!("no header carries it yet") };
    assert_eq!(pair.nodes[0].chain.complete(&row), None);
    let params = &genesis.parameters;
    assert_eq!(pair.nodes[0].chain.due(), Timestamp(START.0 + 200 + params.min_interval.0), "a block is due");
    pair.block(Timestamp(START.0 + 300));
    let proof = pair.nodes[0].chain.complete(&row).expect("the header carries it");
    assert_eq!(proof.verify(&genesis.hash(), &set), Ok(()));
    assert_ne!(proof.row.row, valo_protocol::encoding::encode(&before), "it is the row after the transfer");
    assert_eq!(prove(&pair, StateTable::Accounts, 1 << 39), Proof::NoRow);
}

#[test]
fn blocks_and_state_that_do_not_belong_together_are_reported() {
    let mut pair = Pair::new();
    pair.block(Timestamp(START.0 + 100));
    let Node { key, disk, offered, .. } = &pair.nodes[0];
    let without_blocks: Arc<dyn BlockStore> = Arc::new(MemoryDisk::default());
    let error = Chain::open(pair.genesis.clone(), key.clone(), disk.state(), without_blocks, offered.clone());
    assert!(matches!(error, Err(ChainError::Torn { height: Height(1), found: None, .. })));
}

#[test]
fn a_certificate_is_never_replaced_by_a_poorer_one() {
    let mut pair = Pair::new();
    let finalized = pair.block(Timestamp(START.0 + 100));
    let full = finalized.certificate.clone();
    let mut poor = full.clone();
    poor.signatures = BoundedVec::new(vec![full.signatures[0]]).unwrap();
    let (proposer, _) = pair.turn(Round(0));
    proposer.chain.extend_certificate(poor).unwrap();
    let stream = proposer.chain.propose(Round(0), Timestamp(START.0 + 200)).unwrap();
    let block = &proposer.chain.candidates.get(&stream.block).unwrap().block;
    assert_eq!(block.last_commit, Some(full));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_bytes_arrive_nothing_breaks(
        junk in proptest::collection::vec(any::<u8>(), 0..400), sequence in 0u64..40, cut in 0usize..300
    ) {
        let mut pair = Pair::new();
        let now = Timestamp(START.0 + 100);
        let (proposer, other) = pair.turn(Round(0));
        let stream = proposer.chain.propose(Round(0), now).unwrap();
        let mut bytes = proposer.chain.candidates.get(&stream.block).unwrap().bytes.to_vec();
        let length = bytes.len();
        bytes[cut % length] ^= 1 + junk.first().copied().unwrap_or(0) % 255;
        prop_assert!(other.chain.receive_decided(Height(1), Round(0), &bytes).unwrap().is_none_or(|offer| !offer.valid));
        let part = parts::Part::Data(junk.clone().into());
        prop_assert_eq!(other.chain.receive(b"peer", &junk, sequence, part, now).unwrap(), None);
        prop_assert!(deliver(&stream, &mut other.chain, now).expect("a block").valid);
    }
}
