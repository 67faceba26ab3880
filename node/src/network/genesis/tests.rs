//! Seeds that are what they say, and seeds that are not.

use proptest::prelude::*;
use valo_mutation::damaged;
use valo_protocol::{
    AccountNumber, Amount, Parameters, Timestamp,
    bytes::{BoundedString, BoundedVec},
    genesis::{GenesisAccount, GenesisNode},
    params::Preset,
    registry::NodeRole,
};

use super::*;
use crate::network::testing::{config, key, members, network};

fn genesis(chain: &str) -> Genesis {
    let account = GenesisAccount { key: key(8), balance: Amount::from_valo(1000).unwrap() };
    let node = GenesisNode {
        key: key(7),
        owner: AccountNumber::default(),
        role: NodeRole::Validator,
        stake: Amount::from_valo(100).unwrap(),
    };
    Genesis {
        version: Genesis::VERSION,
        chain: BoundedString::new(chain).unwrap(),
        time: Timestamp(1),
        fully_connected: false,
        parameters: Parameters::preset(Preset::Dev),
        accounts: BoundedVec::new(vec![account]).unwrap(),
        tiers: BoundedVec::default(),
        nodes: BoundedVec::new(vec![node]).unwrap(),
    }
}

/// A node of a chain, with room for guests.
async fn node(byte: u8, guests: usize, protocol: impl FnOnce(&Network) -> Protocol) -> Network {
    let mut config = config(byte, &[]);
    config.guests = guests;
    config.guests_per_prefix = guests;
    let node = Network::bind(config, members([byte])).await.unwrap();
    node.serve([protocol(&node)]).unwrap();
    node
}

/// What a newcomer, who is nobody's member, gets of a seed.
async fn ask(seed: &Network, hash: GenesisHash) -> Result<Genesis, FetchError> {
    let newcomer = network(9, members([]), &[seed.as_seed()]).await;
    newcomer.fetch_genesis(seed.key(), hash).await
}

#[tokio::test]
async fn a_stranger_gets_the_genesis_of_its_hash_and_learns_of_another_chain() {
    let (own, other) = (genesis("own"), genesis("other"));
    let seed = node(0, 8, |network| protocol(network, &own)).await;
    assert_eq!(ask(&seed, own.hash()).await.unwrap(), own);
    let refused = ask(&seed, other.hash()).await.unwrap_err();
    assert_eq!(refused.to_string(), format!("it is a node of another chain, {}", own.hash()));
}

#[tokio::test]
async fn where_the_lane_is_closed_a_stranger_is_told_so() {
    let own = genesis("own");
    let seed = node(0, 0, |network| protocol(network, &own)).await;
    let refused = ask(&seed, own.hash()).await.unwrap_err();
    assert!(refused.to_string().contains("not a member of this network"), "{refused}");
}

/// A seed that answers what it likes, and again and again if told to.
#[derive(Debug)]
struct Liar {
    answer: Bytes,
    again: bool,
    ends: bool,
}

impl ProtocolHandler for Liar {
    async fn accept(&self, connection: Connection) -> Result<(), AcceptError> {
        let (mut send, _receive) = connection.accept_bi().await?;
        while send.write_chunk(self.answer.clone()).await.is_ok() && self.again {}
        if self.ends {
            let _ = send.finish();
        }
        connection.closed().await;
        Ok(())
    }
}

async fn ask_liar(answer: &[&[u8]], again: bool, ends: bool) -> String {
    let answer = answer.concat().into();
    let liar = Protocol { alpn: ALPN, handler: Box::new(Liar { answer, again, ends }) };
    let seed = node(1, 8, |_| liar).await;
    ask(&seed, genesis("own").hash()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn what_a_seed_does_wrong_is_said() {
    let (own, other) = (genesis("own"), genesis("other"));
    let hash = own.hash();
    assert_eq!(ask_liar(&[], false, false).await, "it sent nothing for 1 s");
    assert_eq!(ask_liar(&[&hash.0, &encode(&own)[..40]], false, false).await, "it sent nothing for 1 s");
    let wrong = format!("it sent another document, with hash {}", other.hash());
    assert_eq!(ask_liar(&[&hash.0, &encode(&other)], false, true).await, wrong);
    let endless = ask_liar(&[&[hash.0; 2048].concat()], true, false).await;
    assert_eq!(endless, "it sent more than 49 MiB, the most that a genesis can have");
}

#[test]
fn guests_wait_for_their_own_measure_and_for_that_of_all() {
    let now = Instant::now();
    let all = Mutex::new(Pace::new(DOCUMENTS, now));
    let mut own = Pace::new(TO_GUEST, now);
    // What was saved up in two seconds goes at once, at the pace of all; then a quarter of a second for each piece.
    let mut begun = |pieces: usize| (0..pieces).map(|_| turn(&mut own, &all, CHUNK, now)).last().unwrap();
    assert!(begun(9) < Duration::from_millis(200));
    assert_eq!(begun(8), Duration::from_secs(2));
    // Sixty-four others at once have to share.
    let waits = (0..64).map(|_| turn(&mut Pace::new(TO_GUEST, now), &all, CHUNK, now));
    let last = waits.last().unwrap();
    assert!(last >= Duration::from_secs(1) && last < Duration::from_secs(2), "{last:?}");
}

#[test]
fn the_longest_genesis_reaches_a_guest_in_time() {
    assert!(TO_GUEST.time(MAX_GENESIS.div_ceil(CHUNK), MAX_GENESIS) * 2 < WHOLE);
}

proptest! {
    #[test]
    fn damaged_answers_are_the_genesis_or_refused(
        answer in damaged(["own", "other"].map(|chain| {
            [&genesis(chain).hash().0[..], &encode(&genesis(chain))].concat()
        }).to_vec()),
    ) {
        let own = genesis("own");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let read = runtime.block_on(read(&answer[..], own.hash(), Duration::from_secs(5)));
        if let Ok(read) = read {
            prop_assert_eq!(&read, &own);
            prop_assert_eq!(answer, [&own.hash().0[..], &encode(&own)].concat());
        }
    }
}
