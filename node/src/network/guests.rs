//! Guests: nodes that are in no registry and that nobody configured.
//!
//! Whoever wants to join has to send its registration from somewhere, and the node that it is about
//! to register is the one it has. So a stranger is let in as a guest, to the flood and to what
//! a newcomer has to ask (other nodes, the genesis, where consensus is), and to nothing else, and within bounds that keep members from noticing it:
//!
//! | | a member | a guest |
//! | --- | --- | --- |
//! | connections | of `max_connections`; a guest makes way | at most `guests`, [`PER_NODE`] of one key, `guests_per_prefix` of one prefix |
//! | sends | what is verified in time | [`FROM_GUEST`]; all guests together [`FROM_GUESTS`], one after the other |
//! | is sent | everything, or it is dropped for slowness | [`TO_GUEST`]; what does not fit is left out |
//! | is sent the genesis | at once | [`TO_GUEST`]; all guests together in a measure of their own ([`genesis`]) |
//! | blobs, logs | yes | no |
//! | bans | among members | among guests: keys are free, and many of them push out only each other's |
//!
//! What a node is follows from the registry at each step, so that a guest has a member's bounds with
//! the block that registers it. The other side does its part: a node that is a stranger itself sends
//! only what its own clients hand in, in a guest's measure, and dials few ([`STRANGER_DIALS`]).

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use valo_protocol::PublicKey;

use super::{
    Members, consensus, exchange, flood, genesis,
    standing::{Refusal, Standing},
};

/// The protocols that a guest is admitted to.
pub(super) const PROTOCOLS: [&[u8]; 4] = [flood::ALPN, exchange::ALPN, genesis::ALPN, consensus::ALPN];
/// Connections with one guest: one for the flood, and for its questions, or for those that are about to end.
pub(super) const PER_NODE: usize = 4;
/// A guest that had its place for so long makes way for another guest.
const TERM: Duration = Duration::from_secs(600);

/// What one guest may send. A registration is one item.
pub(super) const FROM_GUEST: Rate = Rate { items: 100, bytes: 64 << 10 };
/// What all guests may send together.
pub(super) const FROM_GUESTS: Rate = Rate { items: 1000, bytes: 512 << 10 };
/// What one guest is sent.
pub(super) const TO_GUEST: Rate = Rate { items: 5000, bytes: 256 << 10 };
/// For how long a guest may have saved up what it did not send.
pub(super) const SAVED: Duration = Duration::from_secs(2);
/// Members that a node dials for itself while it is a stranger: places among guests are few.
pub(super) const STRANGER_DIALS: usize = 4;

/// Items and bytes in a second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) items: u32,
    pub(super) bytes: u32,
}

impl Rate {
    /// How long it takes.
    pub(super) fn time(self, items: usize, bytes: usize) -> Duration {
        let time = |amount: usize, rate: u32| {
            let nanos = (amount as u64).saturating_mul(1_000_000_000).checked_div(u64::from(rate));
            Duration::from_nanos(nanos.unwrap_or(u64::MAX))
        };
        time(items, self.items).max(time(bytes, self.bytes))
    }
}

/// Keeps to a rate: everything takes its time, and until when it is taken is remembered (a "generic cell rate
/// algorithm", ITU-T I.371).
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    until: Instant,
}

impl Pace {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, until: now }
    }

    /// Takes the time of one item, if no more than `ahead` is taken with it.
    pub(super) fn take(&mut self, bytes: usize, ahead: Duration, now: Instant) -> bool {
        let time = self.rate.time(1, bytes);
        let until = self.until.max(now).checked_add(time).unwrap_or(now);
        let fits = until.saturating_duration_since(now) <= ahead;
        if fits {
            self.until = until;
        }
        fits
    }

    /// Takes the time of some items, after what is taken already. Gives how long to wait for it to begin.
    pub(super) fn reserve(&mut self, items: usize, bytes: usize, now: Instant) -> Duration {
        let begin = self.until.max(now);
        self.until = begin.checked_add(self.rate.time(items, bytes)).unwrap_or(begin);
        begin.saturating_duration_since(now)
    }
}

/// Who is no guest: the members, and the seeds, whom the operator of this node chose. Clones share the members.
#[derive(Clone, Debug)]
pub(super) struct Known {
    members: Members,
    seeds: Arc<BTreeSet<PublicKey>>,
}

impl Known {
    pub(super) fn new(members: Members, seeds: impl IntoIterator<Item = PublicKey>) -> Self {
        Self { members, seeds: Arc::new(seeds.into_iter().collect()) }
    }

    pub(super) fn seeds(&self) -> &BTreeSet<PublicKey> {
        &self.seeds
    }

    pub(super) fn contains(&self, key: &PublicKey) -> bool {
        self.seeds.contains(key) || self.members.contains(key)
    }
}

/// The standing of nodes, of guests apart.
#[derive(Debug)]
pub(super) struct Standings {
    known: Known,
    nodes: Standing,
    guests: Standing,
}

impl Standings {
    pub(super) fn new(known: Known, ban: Duration) -> Self {
        Self { known, nodes: Standing::new(ban), guests: Standing::new(ban) }
    }

    /// Where a node's conduct is written down.
    pub(super) fn of(&self, key: &PublicKey) -> &Standing {
        if self.known.contains(key) { &self.nodes } else { &self.guests }
    }

    pub(super) fn refusal(&self, key: &PublicKey, now: Instant) -> Option<Refusal> {
        self.of(key).refusal(key, now)
    }
}

/// Addresses that one party is likely to have many of: a /24 of IPv4, a /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    V4([u8; 3]),
    V6([u16; 3]),
    /// Where nothing is known of the address.
    Unknown,
}

impl Prefix {
    pub(super) fn of(address: Option<SocketAddr>) -> Self {
        match address.map(|address| address.ip().to_canonical()) {
            Some(IpAddr::V4(address)) => {
                let [first, second, third, _] = address.octets();
                Self::V4([first, second, third])
            }
            Some(IpAddr::V6(address)) => {
                let [first, second, third, ..] = address.segments();
                Self::V6([first, second, third])
            }
            None => Self::Unknown,
        }
    }
}

/// An open connection, or one that asks to be opened, as far as its admission is concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) id: u64,
    pub(super) key: PublicKey,
    pub(super) prefix: Prefix,
    pub(super) since: Instant,
    pub(super) guest: bool,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    pub(super) total: usize,
    pub(super) per_node: usize,
    pub(super) guests: usize,
    pub(super) guests_per_prefix: usize,
}

/// Which of the open connections, in the order of their opening, make way for one that asks to be opened. An error: it has
/// to come later.
pub(super) fn make_way(open: &[Place], asking: &Place, limits: &ConnectionLimits) -> Result<Vec<Place>, &'static str> {
    let per_node = if asking.guest { limits.per_node.min(PER_NODE) } else { limits.per_node };
    let of_node = || open.iter().filter(|place| place.key == asking.key);
    if let Some(oldest) = of_node().next()
        && of_node().count() >= per_node
    {
        // The newest wins: a node that was killed leaves connections behind that only time ends.
        return Ok(vec![*oldest]);
    }
    let guests = || open.iter().filter(|place| place.guest);
    if asking.guest {
        let neighbours = || guests().filter(|place| place.prefix == asking.prefix);
        let served = |place: &&Place| asking.since.saturating_duration_since(place.since) >= TERM;
        if neighbours().count() >= limits.guests_per_prefix {
            let oldest = neighbours().next().filter(served);
            return oldest.map(|oldest| vec![*oldest]).ok_or("too many guests from this network, try again later");
        }
        if guests().count() >= limits.guests {
            let oldest = guests().next().filter(served);
            return oldest.map(|oldest| vec![*oldest]).ok_or("too many guests, try again later");
        }
    }
    if open.len() < limits.total {
        return Ok(Vec::new());
    }
    let newest = guests().next_back().filter(|_| !asking.guest);
    newest.map(|newest| vec![*newest]).ok_or("too many connections, try again later")
}

/// Guests beyond their number, the newest first to go: nodes that left the registry are guests from then on.
pub(super) fn too_many(open: &[Place], limits: &ConnectionLimits) -> Vec<Place> {
    open.iter().filter(|place| place.guest).skip(limits.guests).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits { total: 10, per_node: 6, guests: 5, guests_per_prefix: 3 };

    /// Connections of guests (`g`) and members (`m`), each with its key and the third byte of its address, one second
    /// after the other.
    fn places(start: Instant, text: &str) -> Vec<Place> {
        let place = |(id, text): (u64, &str)| {
            let [kind, key, network] = text.as_bytes() else { panic!("{text}") };
            Place {
                id,
                key: PublicKey([*key; 32]),
                prefix: Prefix::V4([10, 0, *network]),
                since: start + Duration::from_secs(id),
                guest: *kind == b'g',
            }
        };
        (0..).zip(text.split_whitespace()).map(place).collect()
    }

    /// Who makes way when the last of these asks, `after` the others.
    fn way(text: &str, after: Duration) -> Result<Vec<u64>, &'static str> {
        let mut open = places(Instant::now(), text);
        let mut asking = open.pop().unwrap();
        asking.since += after;
        make_way(&open, &asking, &LIMITS).map(|places| places.iter().map(|place| place.id).collect())
    }

    #[test]
    fn guests_have_a_bound_in_all_and_for_each_prefix() {
        assert_eq!(way("g11 g21 g32 g42 g53", Duration::ZERO), Ok(vec![]));
        assert_eq!(way("g11 g21 g32 g42 g53 g64", Duration::ZERO), Err("too many guests, try again later"));
        assert_eq!(way("g11 g21 g31 g41", Duration::ZERO), Err("too many guests from this network, try again later"));
        assert_eq!(way("m11 m21 m31 g41", Duration::ZERO), Ok(vec![]), "members of a network are no guests of it");
    }

    #[test]
    fn a_guest_has_few_connections_and_the_newest_win() {
        assert_eq!(way("g11 g11 g11", Duration::ZERO), Ok(vec![]));
        let mut open = places(Instant::now(), "g11 g12 g13 g14");
        assert_eq!(way("g11 g12 g13 g14 g15", Duration::ZERO), Ok(vec![0]));
        // With the block that registers it, the same node has a member's bounds.
        open.iter_mut().for_each(|place| place.guest = false);
        let asking = Place { guest: false, ..open[0] };
        assert!(make_way(&open, &asking, &LIMITS).unwrap().is_empty());
    }

    #[test]
    fn a_guest_makes_way_for_a_guest_after_its_term_and_for_a_member_at_once() {
        assert_eq!(way("m91 g11 g21 g32 g42 g53 g64", TERM), Ok(vec![1]));
        assert_eq!(way("g92 g11 g21 g31 g41", TERM), Ok(vec![1]), "one of the same prefix");
        let full = "m11 m21 g31 m42 g52 m61 m71 m81 m91 mA1";
        assert_eq!(way(&format!("{full} mB1"), Duration::ZERO), Ok(vec![4]), "the newest guest");
        assert_eq!(way(&format!("{full} gB1"), TERM), Err("too many connections, try again later"));
        let members = "m11 m21 m31 m42 m52 m61 m71 m81 m91 mA1 mB1";
        assert!(way(members, TERM).is_err(), "no guest, no way");
    }

    #[test]
    fn those_who_leave_the_registry_are_guests_within_the_bound() {
        let open = places(Instant::now(), "m11 g21 g31 g41 g51 g61 g71 m81");
        assert_eq!(too_many(&open, &LIMITS).iter().map(|place| place.id).collect::<Vec<_>>(), [6]);
    }

    #[test]
    fn a_pace_saves_up_little_and_lends_nothing() {
        let now = Instant::now();
        let mut pace = Pace::new(Rate { items: 10, bytes: 1000 }, now);
        let taken = |pace: &mut Pace, bytes, now| (0..100).filter(|_| pace.take(bytes, SAVED, now)).count();
        assert_eq!(taken(&mut pace, 1, now), 20, "two seconds of items");
        assert_eq!(taken(&mut pace, 1, now + Duration::from_secs(1)), 10);
        assert_eq!(taken(&mut pace, 500, now + Duration::from_secs(60)), 4, "two seconds of bytes");
        let mut pace = Pace::new(Rate { items: 10, bytes: 1000 }, now);
        assert_eq!(pace.reserve(5, 2000, now), Duration::ZERO);
        assert_eq!(pace.reserve(5, 10, now), Duration::from_secs(2));
        assert_eq!(pace.reserve(1, 1, now + Duration::from_secs(1)), Duration::from_millis(1500));
    }

    #[test]
    fn prefixes_are_of_the_address_itself() {
        let prefix = |text: &str| Prefix::of(Some(text.parse().unwrap()));
        assert_eq!(prefix("203.0.113.4:1"), prefix("[::ffff:203.0.113.200]:2"));
        assert_ne!(prefix("203.0.113.4:1"), prefix("203.0.114.4:1"));
        assert_eq!(prefix("[2001:db8:7::1]:1"), prefix("[2001:db8:7:ffff::2]:1"));
        assert_ne!(prefix("[2001:db8:7::1]:1"), prefix("[2001:db8:8::1]:1"));
    }

    #[test]
    fn offences_of_guests_push_out_no_bans_of_members() {
        let now = Instant::now();
        let member = PublicKey([1; 32]);
        let standings = Standings::new(Known::new(Members::new([member]), []), Duration::from_secs(60));
        standings.of(&member).offend(member, super::super::Offence::BrokenFrame, now);
        for number in 0..10_000u64 {
            let mut bytes = [2; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            let guest = PublicKey(bytes);
            standings.of(&guest).offend(guest, super::super::Offence::BrokenFrame, now);
        }
        assert!(standings.refusal(&member, now).is_some());
    }
}
