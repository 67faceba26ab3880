#![allow(clippy::float_arithmetic)]

use super::*;
use proptest::prelude::*;
use valo_protocol::job::{JobId, ShardIndex, StageIndex};

fn owner(number: u64) -> AccountNumber {
    AccountNumber::new(number).unwrap()
}

fn candidate(node: u32, owner_number: u64, free_slots: u32) -> Candidate {
    Candidate {
        node: NodeId(node),
        owner: owner(owner_number),
        active: true,
        free_slots,
        stake: Amount::from_units(1000),
        free_stake: Amount::from_units(1000),
    }
}

fn seed_of(number: u64) -> Hash {
    let shard = ShardKey { job: JobId(number), stage: StageIndex(0), shard: ShardIndex(0) };
    seed(&Hash::default(), shard, Attempt(0))
}

fn request<'a>(seed: &'a Hash, count: u32, before: &'a [(NodeId, AccountNumber)]) -> Request<'a> {
    Request { seed, count, lock: Amount::from_units(10), before }
}

fn nodes(selection: &Selection) -> Vec<u32> {
    selection.drawn.iter().map(|drawn| drawn.node.0).collect()
}

/// The figures are those of a separate program that follows the text at the head of the module.
#[test]
fn the_draw_is_fixed_for_ever() {
    let pool = |disjoint| Pool::new(disjoint, (0..8).map(|node| candidate(node, u64::from(node / 2), node % 3 + 1)));
    let seed = seed_of(1);
    assert_eq!(seed.to_string(), "dc460856fed13fe8d40d951e7e72d0cca2f9f125a582458769455654a8d8ccc6");
    assert_eq!(nodes(&pool(Disjoint::Owner).draw(&request(&seed, 3, &[]))), [5, 6, 2]);
    assert_eq!(nodes(&pool(Disjoint::Node).draw(&request(&seed, 5, &[]))), [5, 6, 4, 2, 7]);
}

#[test]
fn everybody_left_out_is_told_why() {
    let mut jailed = candidate(4, 4, 2);
    jailed.active = false;
    let mut poor = candidate(5, 5, 2);
    poor.free_stake = Amount::from_units(9);
    let people = [
        candidate(0, 0, 1),
        candidate(1, 0, 0),
        candidate(2, 2, 1),
        candidate(3, 3, 0),
        jailed,
        poor,
        candidate(6, 2, 1),
        candidate(7, 7, 1),
    ];
    let seed = seed_of(2);
    let before = [(NodeId(7), owner(7)), (NodeId(2), owner(2))];
    let mut selection = Pool::new(Disjoint::Owner, people).draw(&request(&seed, 3, &before));
    assert_eq!(nodes(&selection), [0], "the only one left");
    selection.passed_over.sort_by_key(|(node, _)| *node);
    assert_eq!(
        selection.passed_over,
        [
            (NodeId(1), PassedOver::SameOwner),
            (NodeId(2), PassedOver::DrawnBefore),
            (NodeId(3), PassedOver::NoFreeSlot),
            (NodeId(4), PassedOver::NotActive),
            (NodeId(5), PassedOver::Stake),
            (NodeId(6), PassedOver::SameOwner),
            (NodeId(7), PassedOver::DrawnBefore),
        ]
    );
    let mut pool = Pool::new(Disjoint::Owner, (0..4).map(|node| candidate(node, u64::from(node), 1)));
    let selection = pool.draw(&request(&seed, 3, &[]));
    assert_eq!(selection.passed_over.len(), 1);
    assert_eq!(selection.passed_over[0].1, PassedOver::Rank);
}

#[test]
fn busy_nodes_count_as_existing_and_others_do_not() {
    let mut absent = candidate(3, 3, 1);
    absent.active = false;
    let pool = Pool::new(Disjoint::Owner, [candidate(0, 0, 0), candidate(1, 0, 1), candidate(2, 2, 0), absent]);
    assert_eq!(pool.eligible(Amount::from_units(1000), &[]), 2);
    assert_eq!(pool.eligible(Amount::from_units(1001), &[]), 0);
    assert_eq!(pool.eligible(Amount::ZERO, &[(NodeId(0), owner(0))]), 1);
    assert_eq!(Pool::new(Disjoint::Node, pool.nodes().to_vec()).eligible(Amount::ZERO, &[]), 3);
}

/// The draw as one would do it by hand: a list of all free slots, out of which slots are taken.
fn by_hand(disjoint: Disjoint, nodes: &[Candidate], request: &Request<'_>) -> Vec<u32> {
    let mut nodes = nodes.to_vec();
    nodes.sort_by_key(|node| (node.owner, node.node));
    let unit = |node: &Candidate| if disjoint == Disjoint::Owner { node.owner.index() } else { u64::from(node.node.0) };
    let mut gone: Vec<u64> =
        nodes.iter().filter(|node| request.before.iter().any(|(other, _)| *other == node.node)).map(unit).collect();
    let mut numbers = Numbers::new(request.seed);
    let mut drawn = Vec::new();
    for _ in 0..request.count {
        let fit =
            nodes.iter().filter(|node| node.active && node.free_stake >= request.lock && !gone.contains(&unit(node)));
        let slots: Vec<&Candidate> = fit.flat_map(|node| vec![node; node.free_slots as usize]).collect();
        if slots.is_empty() {
            break;
        }
        let node = slots[numbers.below(slots.len() as u64) as usize];
        drawn.push(node.node.0);
        gone.push(unit(node));
    }
    drawn
}

/// How often each node is first, and how often it is drawn at all, over many seeds.
fn counts(pool: &mut Pool, count: u32, draws: u64, width: usize) -> (Vec<u64>, Vec<u64>) {
    let (mut first, mut any) = (vec![0; width], vec![0; width]);
    for number in 0..draws {
        let seed = seed_of(number);
        let drawn = nodes(&pool.draw(&request(&seed, count, &[])));
        first[drawn[0] as usize] += 1;
        for node in drawn {
            any[node as usize] += 1;
        }
    }
    (first, any)
}

/// Pearson's statistic against expected shares.
fn chi_square(found: &[u64], shares: &[f64]) -> f64 {
    let total: u64 = found.iter().sum();
    let terms = found.iter().zip(shares).map(|(found, share)| {
        let expected = *share * total as f64;
        (*found as f64 - expected).powi(2) / expected
    });
    terms.sum()
}

#[test]
fn first_places_follow_the_free_slots() {
    let slots = [1u32, 2, 3, 4, 5, 1, 2, 2];
    let mut pool =
        Pool::new(Disjoint::Owner, (0..8).map(|node| candidate(node, u64::from(node), slots[node as usize])));
    let (first, _) = counts(&mut pool, 3, 40_000, 8);
    let total: u32 = slots.iter().sum();
    let shares: Vec<f64> = slots.iter().map(|slots| f64::from(*slots) / f64::from(total)).collect();
    // 7 degrees of freedom: 24.3 is exceeded once in a thousand.
    assert!(chi_square(&first, &shares) < 24.3, "{first:?}");
}

#[test]
fn equal_nodes_are_drawn_equally_often_at_every_rank() {
    let mut pool = Pool::new(Disjoint::Owner, (0..10).map(|node| candidate(node, u64::from(node), 2)));
    let (first, any) = counts(&mut pool, 4, 30_000, 10);
    let shares = [0.1; 10];
    assert!(chi_square(&first, &shares) < 27.9, "{first:?}");
    assert!(chi_square(&any, &shares) < 27.9, "{any:?}");
}

#[test]
fn splitting_slots_over_nodes_gains_an_owner_nothing() {
    // Owner 0 with one node of 6 slots, or with six of one: as often drawn, within what chance allows.
    let others = || (10..16).map(|node| candidate(node, u64::from(node), 2));
    let mut whole = Pool::new(Disjoint::Owner, others().chain([candidate(0, 0, 6)]));
    let mut split = Pool::new(Disjoint::Owner, others().chain((0..6).map(|node| candidate(node, 0, 1))));
    let (_, whole) = counts(&mut whole, 3, 20_000, 16);
    let (_, split) = counts(&mut split, 3, 20_000, 16);
    let (whole, split): (u64, u64) = (whole[..6].iter().sum(), split[..6].iter().sum());
    // About 15,000 of 20,000 either way: a standard deviation of the difference is about 90.
    assert!(whole.abs_diff(split) < 350, "{whole} and {split}");
}

#[test]
fn no_integer_is_favoured() {
    let mut numbers = Numbers::new(&seed_of(3));
    let mut found = [0u64; 7];
    for _ in 0..70_000 {
        found[numbers.below(7) as usize] += 1;
    }
    assert!(chi_square(&found, &[1.0 / 7.0; 7]) < 22.5, "{found:?}");
    // A bound for which a third of all 64-bit integers must be rejected.
    let bound = (1 << 63) + (1 << 62);
    let mut halves = [0u64; 2];
    for _ in 0..20_000 {
        halves[usize::from(numbers.below(bound) >= bound / 2)] += 1;
    }
    assert!(chi_square(&halves, &[0.5; 2]) < 10.9, "{halves:?}");
}

fn pools() -> impl Strategy<Value = (bool, Vec<Candidate>)> {
    let node = (0u64..12, 0u32..4, any::<bool>(), 0u64..40);
    (any::<bool>(), proptest::collection::vec(node, 1..40)).prop_map(|(by_owner, nodes)| {
        let nodes = (0u32..).zip(nodes).map(|(node, (owner, slots, active, stake))| Candidate {
            active,
            free_stake: Amount::from_units(stake),
            ..candidate(node, owner, slots)
        });
        (by_owner, nodes.collect())
    })
}

proptest! {
    #[test]
    fn what_is_drawn_can_be_drawn(
        (by_owner, people) in pools(), count in 0u32..9, lock in 0u64..40, number: u64,
        before in proptest::collection::vec(0usize..40, 0..6)
    ) {
        let disjoint = if by_owner { Disjoint::Owner } else { Disjoint::Node };
        let before: Vec<_> = before.into_iter().filter_map(|at| people.get(at)).map(|node| (node.node, node.owner)).collect();
        let unit = |node: &Candidate| if by_owner { node.owner.index() } else { u64::from(node.node.0) };
        let gone: BTreeSet<u64> =
            people.iter().filter(|node| before.iter().any(|(other, _)| *other == node.node)).map(unit).collect();
        let lock = Amount::from_units(lock);
        let fit = |node: &&Candidate| {
            node.active && node.free_slots > 0 && node.free_stake >= lock && !gone.contains(&unit(node))
        };
        let units: BTreeSet<u64> = people.iter().filter(fit).map(unit).collect();
        let seed = seed_of(number);
        let mut pool = Pool::new(disjoint, people.clone());
        let request = Request { seed: &seed, count, lock, before: &before };
        let selection = pool.draw(&request);

        // As many as there are, each fit, no unit twice.
        prop_assert_eq!(selection.drawn.len(), units.len().min(count as usize));
        let drawn: Vec<&Candidate> = selection.drawn.iter().map(|drawn| &people[drawn.node.0 as usize]).collect();
        prop_assert!(drawn.iter().all(fit));
        let drawn_units: BTreeSet<u64> = drawn.iter().map(|node| unit(node)).collect();
        prop_assert_eq!(drawn_units.len(), drawn.len());
        prop_assert_eq!(nodes(&selection), by_hand(disjoint, &people, &request));
        // Everybody else has a reason, up to the bound.
        let named: BTreeSet<NodeId> = selection.passed_over.iter().map(|(node, _)| *node).collect();
        prop_assert_eq!(named.len(), (people.len() - drawn.len()).min(MAX_PASSED_OVER));
        // The same again, in whatever order the nodes come.
        let mut reversed = people.clone();
        reversed.reverse();
        prop_assert_eq!(&Pool::new(disjoint, reversed).draw(&request), &selection);

        // Taking slots keeps the sums right.
        for node in &selection.drawn {
            pool.take(node.node, node.owner, lock);
        }
        let left: u64 = pool.nodes().iter().map(weight).sum();
        prop_assert_eq!(pool.free_slots(), left);
        let rebuilt = Pool::new(disjoint, pool.nodes().to_vec()).draw(&request);
        prop_assert_eq!(pool.draw(&request), rebuilt);
    }
}
