//! A validator that loses its volume contradicts nothing that it signed, and votes again by itself.

use anyhow::{Context, ensure};
use std::{fs, path::Path};
use valo_e2e::Network;
use valo_protocol::Height;

const VALIDATOR: &str = "validator-2";

#[test]
fn a_validator_with_an_empty_volume_votes_again_above_all_that_it_may_have_signed() -> anyhow::Result<()> {
    let mut network = Network::of_tiers(4, 1, "small")?;
    let client = network.client("validator-0")?;
    let other = network.client(VALIDATOR)?;
    let key = network.key(VALIDATOR)?;
    let signs = |network: &Network, height: Height| -> anyhow::Result<bool> {
        Ok(network.ask(client.block(height))?.certificate.signers.contains(&key))
    };
    network.wait("blocks that it signs", |_| {
        let height = network.ask(client.status())?.height;
        Ok(height.0 > 5 && signs(&network, height)?)
    })?;
    network.kill(VALIDATOR)?;
    let folder = network.folder(VALIDATOR);
    let (_, signed) = record(&folder)?;
    let last = signed.into_iter().max().context("it signed nothing before")?;
    for part in ["db", "blobs", "worker"] {
        let _ = fs::remove_dir_all(folder.join(part));
    }
    for part in ["consensus.log", "signed.log"] {
        fs::remove_file(folder.join(part))?;
    }
    network.run_again(VALIDATOR)?;
    network.wait("it to say why it does not vote", |_| {
        // Out of reach while it starts again.
        let status = network.ask(other.status()).ok();
        let reason = status.and_then(|status| status.node.not_ready).unwrap_or_default();
        Ok(reason.contains("the key may have voted from another one"))
    })?;
    let (above, signed) = record(&folder)?;
    ensure!(above.is_none() && signed.is_empty(), "it signed at once: {signed:?} above {above:?}");
    network.wait("it to vote", |_| {
        let height = network.ask(client.status())?.height;
        signs(&network, height)
    })?;
    network.wait("it to be ready", |_| Ok(network.ask(other.status()).is_ok_and(|status| status.node.ready)))?;
    let (above, signed) = record(&folder)?;
    let above = above.context("it does not say above which height it signs")?;
    ensure!(above >= last, "it signed for height {last} before, and anything above {above} now");
    ensure!(signed.iter().all(|height| *height > above), "it signed {signed:?}, and only above {above} it may");
    for validator in ["validator-0", "validator-1", "validator-3"] {
        let log = fs::read_to_string(network.folder(validator).join("node.log"))?;
        ensure!(!log.contains("signed two different things"), "{validator} has proof of a fault");
    }
    Ok(())
}

/// Above which height a node may sign, and for which heights it has.
fn record(folder: &Path) -> anyhow::Result<(Option<u64>, Vec<u64>)> {
    let text = fs::read_to_string(folder.join("signed.log"))?;
    let mut above = None;
    let mut signed = Vec::new();
    for line in text.lines().skip(1) {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["made", ..] => {}
            ["above", height, _] => above = Some(height.parse()?),
            [height, ..] => signed.push(height.parse()?),
            [] => {}
        }
    }
    Ok((above, signed))
}
