//! Random histories: whatever owners and nodes ask for, in whatever order, all money is accounted for, rows name
//! each other, and the chain goes on with a quorum.

use super::*;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Wish {
    Register { owner: u32, node: u32, validator: bool, stake: u64, slots: u16 },
    Say { node: u32, drain: bool },
    Ask { sender: u64, action: Action },
    Wait(u64),
    Accuse { node: u32, in_block: bool },
    Silence { node: u32, steps: u64 },
    Unjail(u32),
}

fn wish() -> impl Strategy<Value = Wish> {
    let node = || (0u32..12).prop_map(NodeId);
    let amount = || (0u64..40).prop_map(valo);
    // Nodes belong to few, so that owners often ask for what is theirs.
    let sender = || 0u64..10;
    let slots = proptest::option::of(0u16..4);
    let asked = prop_oneof![
        2 => node().prop_map(|node| Action::RemoveNode { node }),
        2 => node().prop_map(|node| Action::ResumeNode { node }),
        2 => (node(), amount()).prop_map(|(node, amount)| Action::Bond { node, amount }),
        3 => (node(), amount()).prop_map(|(node, amount)| Action::Unbond { node, amount }),
        3 => (node(), amount()).prop_map(|(node, amount)| Action::Rebond { node, amount }),
        1 => (node(), slots).prop_map(|(node, slots)| Action::UpdateNode { node, slots, endpoints: None }),
    ];
    prop_oneof![
        3 => (0u32..10, 0u32..12, any::<bool>(), 0u64..120, 0u16..3)
            .prop_map(|(owner, node, validator, stake, slots)| Wish::Register { owner, node, validator, stake, slots }),
        4 => (0u32..12, any::<bool>()).prop_map(|(node, drain)| Wish::Say { node, drain }),
        12 => (sender(), asked).prop_map(|(sender, action)| Wish::Ask { sender, action }),
        1 => (0u32..12, any::<bool>()).prop_map(|(node, in_block)| Wish::Accuse { node, in_block }),
        2 => (0u32..12, 1u64..90).prop_map(|(node, steps)| Wish::Silence { node, steps }),
        2 => (0u32..12).prop_map(Wish::Unjail),
        3 => prop_oneof![Just(50u64), Just(10_000), Just(31_000), 1u64..12_000].prop_map(Wish::Wait),
    ]
}

/// Owners ask for their own nodes more often than chance would have it.
fn owner_of(chain: &TestChain, action: &Action, sender: u64) -> u64 {
    let (Action::RemoveNode { node }
    | Action::ResumeNode { node }
    | Action::Unbond { node, .. }
    | Action::Rebond { node, .. }
    | Action::UpdateNode { node, .. }) = action
    else {
        return sender;
    };
    match chain.view().node(*node).unwrap() {
        Some(record) if sender > 0 => record.owner.index(),
        _ => sender,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_of_joining_and_leaving_holds_together(wishes in proptest::collection::vec(wish(), 1..60)) {
        let cheap = valo_protocol::registry::Tier { stake_per_slot: valo(20), ..wasm_tier("small") };
        let mut chain = TestChain::new(&Setup { tiers: vec![cheap], ..setup() });
        for wish in wishes {
            let effects = match wish {
                Wish::Register { owner, node, validator, stake, slots } => {
                    let tier = TierId(0);
                    let role = if validator { NodeRole::Validator } else { NodeRole::Worker { tier, slots } };
                    let grant = chain.grant(owner, node, role, valo(stake));
                    let transactions = chain.actions(account(owner.into()), [Action::RegisterNode { grant }]);
                    chain.block(transactions)
                }
                Wish::Say { node, drain } => {
                    let known = chain.view().account_by_key(&node_key(node).public()).unwrap();
                    let action = if drain { Action::Drain } else { Action::Return };
                    // Not in the block when it is not valid.
                    let said = known.map(|own| chain.actions(own, [action])).unwrap_or_default();
                    chain.block_at(Round(0), Duration(50), said)
                }
                Wish::Ask { sender, action } => {
                    let sender = owner_of(&chain, &action, sender);
                    let transactions = chain.actions(account(sender), [action]);
                    chain.block_at(Round(0), Duration(50), transactions)
                }
                Wish::Wait(time) => chain.block_at(Round(0), Duration(time), vec![]),
                Wish::Unjail(node) => {
                    let known = chain.view().account_by_key(&node_key(node).public()).unwrap();
                    let said = known.map(|own| chain.actions(own, [Action::Unjail])).unwrap_or_default();
                    chain.block_at(Round(0), Duration(50), said)
                }
                Wish::Accuse { node, in_block } => {
                    let evidence = chain.double_sign(node, chain.ledger.head().height);
                    if in_block {
                        chain.evidence = vec![evidence];
                        let effects = chain.block_at(Round(0), Duration(50), vec![]);
                        chain.evidence.clear();
                        effects
                    } else {
                        let sent = chain.actions(account(0), [Action::SubmitEvidence { evidence: Box::new(evidence) }]);
                        chain.block_at(Round(0), Duration(50), sent)
                    }
                }
                Wish::Silence { node, steps } => {
                    // As long as the others are enough to certify.
                    let (key, set) = (node_key(node).public(), chain.ledger.head().validators.clone());
                    let others = set.total_power() - set.get(&key).map_or(0, |member| member.power);
                    if set.is_quorum(others) {
                        chain.silent = vec![key];
                    }
                    for _ in 1..steps {
                        let (head, signers) = (chain.ledger.head(), chain.ledger.head().signers.clone());
                        let signed = signers.total_power() - signers.get(&key).map_or(0, |member| member.power);
                        if head.height > valo_protocol::Height(0) && !signers.is_quorum(signed) {
                            chain.silent.clear();
                        }
                        chain.block_at(Round(0), Duration(1_600), vec![]);
                    }
                    chain.silent.clear();
                    chain.block_at(Round(0), Duration(50), vec![])
                }
            };
            let head = chain.ledger.head();
            let electable = crate::validators::elect(chain.ledger.store(), chain.ledger.params()).unwrap();
            let is_out = |node: &valo_protocol::state::NodeRecord| {
                matches!(node.state, NodeState::Jailed | NodeState::Tombstoned)
            };
            let someone_is_out = chain.view().nodes(NodeId(0), 100).unwrap().iter().any(|(_, node)| is_out(node));
            prop_assert!(electable.is_some() || someone_is_out, "owners left nobody to elect");
            for event in &effects.events {
                if let Event::StakePaid { amount, .. } = event {
                    prop_assert!(!amount.is_zero());
                }
            }
            for member in head.validators.validators() {
                let (_, node) = chain.view().node_by_key(&member.key).unwrap().expect("a member has a node");
                prop_assert!(node.validator.is_some(), "a member has a seat");
            }
        }
        // When all have left in the end, all stake comes back.
        for n in 4..12u32 {
            if let Some((node, record)) = chain.view().node_by_key(&node_key(n).public()).unwrap() {
                let remove = chain.actions(record.owner, [Action::RemoveNode { node }]);
                chain.block_at(Round(0), Duration(50), remove);
            }
        }
        for _ in 0..6 {
            chain.next_epoch();
        }
        let rest: u64 = chain.view().nodes(NodeId(0), 100).unwrap().iter().map(|(_, node)| node.stake.units()).sum();
        prop_assert_eq!(chain.view().supply().unwrap().bonded.units(), rest);
    }
}
