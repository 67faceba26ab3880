//! Logs of runs on other nodes (`valo/logs/1`): whoever wants the log of a shard asks the node that ran it.
//!
//! ```text
//! question = borsh(ShardKey)
//! answer   = borsh(Option<RunLog>), at most 512 KiB
//! ```

use super::logs::{Logs, RunLog};
use crate::network::{
    Network, Protocol,
    questions::{self, Answers},
};
use std::time::Duration;
use tokio::time::timeout;
use valo_protocol::{
    PublicKey,
    encoding::{decode, encode},
    job::ShardKey,
};

const ALPN: &[u8] = b"valo/logs/1";
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 512 << 10;

/// The log of a shard from the node that ran it; none when that node has none or does not answer.
pub async fn ask(network: &Network, node: PublicKey, shard: ShardKey) -> Option<RunLog> {
    let connection = timeout(TIMEOUT, network.connection(node, ALPN)).await.ok()?.ok()?;
    let question = encode(&shard);
    let answer = timeout(TIMEOUT, questions::ask(&connection, &question, MAX_ANSWER)).await.ok()??;
    decode::<Option<RunLog>>("log", &answer).ok().flatten()
}

#[derive(Debug)]
struct Answering(Logs);

impl Answers for Answering {
    const MOST: usize = 64;
    const UNUSED: Duration = Duration::from_secs(60);

    async fn answer(&self, _: PublicKey, question: Vec<u8>) -> Option<Vec<u8>> {
        let shard: ShardKey = decode("shard", &question).ok()?;
        let logs = self.0.clone();
        let log = tokio::task::spawn_blocking(move || logs.read(shard)).await.ok()?.ok().flatten();
        Some(encode(&log))
    }
}

/// Serves the logs of this node.
pub fn protocol(logs: Logs) -> Protocol {
    questions::protocol(ALPN, Answering(logs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use valo_protocol::job::{Attempt, JobId, ShardIndex, StageIndex};

    fn question() -> Vec<u8> {
        encode(&ShardKey { job: JobId(300), stage: StageIndex(1), shard: ShardIndex(200) })
    }

    fn answers() -> Vec<Vec<u8>> {
        let log = RunLog { attempt: Attempt(1), stdout: "é\n".repeat(30), stderr: String::new(), truncated: true };
        vec![encode(&Some(log)), encode(&None::<RunLog>)]
    }

    proptest! {
        #[test]
        fn damaged_questions_and_answers_are_errors_or_themselves(
            question in valo_mutation::damaged(vec![question()]),
            answer in valo_mutation::damaged(answers()),
        ) {
            if let Ok(shard) = decode::<ShardKey>("shard", &question) {
                prop_assert!(question.len() <= Answering::MOST);
                prop_assert_eq!(encode(&shard), question);
            }
            if let Ok(log) = decode::<Option<RunLog>>("log", &answer) {
                prop_assert_eq!(encode(&log), answer);
            }
        }
    }
}
