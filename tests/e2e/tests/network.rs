//! One test for each promise made to a user, kept by real processes.

use anyhow::ensure;
use std::process::Command;
use valo_e2e::{Network, repository};

#[test]
fn a_job_on_real_input_comes_back_verified() -> anyhow::Result<()> {
    let network = Network::start(4, 6)?;
    network.succeed(&["job", "submit", "examples/digits/job.yaml", "--watch", "--yes"])?;
    let result = network.path("result");
    network.succeed(&["job", "result", "1", "--out", &result.to_string_lossy()])?;
    let accuracy = Command::new(repository().join("examples/digits/accuracy.sh")).arg(&result).output()?;
    let text = String::from_utf8_lossy(&accuracy.stdout);
    let share: f64 = text.split_whitespace().nth(1).unwrap_or_default().parse()?;
    ensure!(share >= 0.95, "accuracy {text}");
    let explained = network.succeed(&["job", "explain", "1"])?;
    ensure!(explained.contains("drawn at"), "{explained}");
    let verified = network.succeed(&["verify", "1"])?;
    ensure!(verified.to_lowercase().contains("certificate"), "{verified}");
    // Money moves, to a number and to a key that had no account.
    network.succeed(&["send", "5", "--to", "00000001"])?;
    let stranger = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    network.succeed(&["send", "5", "--to", stranger])?;
    // What cannot be done ends with one line.
    for wrong in [
        &["send", "5000000", "--to", "00000001"][..],
        &["job", "status", "77"],
        &["job", "submit", "examples/digits/missing.yaml", "--yes"],
        &["verify", "77"],
    ] {
        let line = network.fail(wrong)?;
        ensure!(line.starts_with("error:") && line.lines().count() == 1, "`{}`: {line}", wrong.join(" "));
    }
    // A second network in the same folder is refused, and leaves the first as it is.
    let home = network.home();
    let before = std::fs::read_to_string(home.join("dev.json"))?;
    let line = network.fail(&["dev", "--home", &home.to_string_lossy()])?;
    ensure!(line.starts_with("error: a network runs in ") && line.lines().count() == 1, "{line}");
    ensure!(std::fs::read_to_string(home.join("dev.json"))? == before, "dev.json changed");
    // A download replaces files, and nothing else.
    let line = network.fail(&["blob", "get", &"0".repeat(64), "--out", "/dev/null"])?;
    ensure!(line.contains("no regular file"), "{line}");
    // A profile that trusts another chain reads nothing from this one.
    let endpoint: serde_json::Value = serde_json::from_str(&before)?;
    let endpoint = endpoint["endpoint"].as_str().unwrap_or_default().to_owned();
    let other = "1".repeat(64);
    network.succeed(&["profile", "set", "other", "--endpoint", &endpoint, "--genesis", &other])?;
    let line = network.fail(&["--profile", "other", "node", "list"])?;
    ensure!(line.contains("trusts 11111111"), "{line}");
    // YAML is what any parser reads: no tags.
    let text = network.succeed(&["node", "show", "4", "-o", "yaml"])?;
    ensure!(!text.contains('!'), "{text}");
    Ok(())
}

#[test]
fn killed_nodes_stop_no_job_and_a_stopped_network_goes_on() -> anyhow::Result<()> {
    let mut network = Network::start(4, 8)?;
    network.succeed(&["job", "submit", "examples/wordcount/job.yaml", "--yes"])?;
    network.wait("the job to run", |network| Ok(matches!(network.phase(1)?.as_str(), "running" | "accepted")))?;
    network.kill("validator-3")?;
    network.kill("worker-0")?;
    network
        .wait("the job to end", |network| Ok(matches!(network.phase(1)?.as_str(), "accepted" | "final" | "failed")))?;
    let phase = network.phase(1)?;
    ensure!(
        phase == "accepted" || phase == "final",
        "the job is {phase}: {}",
        network.succeed(&["job", "explain", "1"])?
    );
    network.succeed(&["verify", "1"])?;
    let height = network.height()?;
    network.stop()?;
    network.start_again()?;
    network.wait("the chain to go on", |network| Ok(network.height()? > height))?;
    network.succeed(&["verify", "1"])?;
    Ok(())
}
