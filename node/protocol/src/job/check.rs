//! The rules a contract keeps whatever the state of the chain: checked by the client before it signs,
//! and by every node before it takes the transaction.

use super::{
    Input, JobContract, MAX_CONTRACT, MAX_MEMORY, MAX_REPLICAS, MAX_SHARDS, Program, Stage, StageIndex, Verification,
};
use crate::{Duration, encoding::encode};

/// Why a contract can never be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// No stage.
    #[error("a contract needs at least one stage")]
    NoStages,
    /// More bytes than a contract may have.
    #[error("the contract takes {0} bytes; at most {MAX_CONTRACT} are allowed")]
    TooLarge(usize),
    /// A bad or repeated name.
    #[error("stage {stage}: the name `{name}` must be unique and made of 1 to 32 of a-z, 0-9 and -")]
    Name {
        /// Which stage.
        stage: StageIndex,
        /// Its name.
        name: String,
    },
    /// None, or too many in all.
    #[error("stage {stage}: a stage has at least one shard, and a contract at most {MAX_SHARDS} in all")]
    Shards {
        /// Which stage.
        stage: StageIndex,
    },
    /// Reads from itself, from a later stage, or from one of another size.
    #[error("stage {stage}: it may read only from an earlier stage, and with `each` only from one of as many shards")]
    Input {
        /// Which stage.
        stage: StageIndex,
    },
    /// No fuel, no time, or memory out of bounds.
    #[error("stage {stage}: {what} must be between 1 and {max}")]
    Limit {
        /// Which stage.
        stage: StageIndex,
        /// Which limit.
        what: &'static str,
        /// Its largest value.
        max: u64,
    },
    /// An image that is not pinned.
    #[error("stage {stage}: the image must be named by its digest, as in name@sha256:...")]
    Image {
        /// Which stage.
        stage: StageIndex,
    },
    /// An argument that no program could read to its end.
    #[error("stage {stage}: argument {argument} holds a NUL character, where programs take it to end")]
    Argument {
        /// Which stage.
        stage: StageIndex,
        /// Which argument, from 0.
        argument: usize,
    },
    /// A name that a terminal would obey.
    #[error("the name of the job holds control characters")]
    JobName,
    /// Outputs that workers would have to keep for too long.
    #[error("the outputs are kept for at most 30 days, not for {} hours", .0.0 / 3_600_000)]
    Retention(Duration),
    /// A quorum that two different results could reach.
    #[error("{quorum} of {replicas} is no usable quorum: it takes more than half of 1 to {MAX_REPLICAS} replicas")]
    Quorum {
        /// Replicas asked for.
        replicas: u8,
        /// Quorum asked for.
        quorum: u8,
    },
}

/// The most fuel a shard may be given: weeks of work on one core.
const MAX_FUEL: u64 = 1 << 50;
/// The most seconds a container may be given: a week.
const MAX_SECONDS: u64 = 7 * 24 * 3600;

/// The longest that workers are asked to keep outputs: the price of a shard covers no more.
const MAX_RETENTION: Duration = Duration::from_seconds(30 * 24 * 3600);

impl JobContract {
    /// Checks what does not depend on the state of the chain.
    pub fn check(&self) -> Result<(), ContractError> {
        let size = encode(self).len();
        if size > MAX_CONTRACT {
            return Err(ContractError::TooLarge(size));
        }
        if self.stages.is_empty() {
            return Err(ContractError::NoStages);
        }
        if self.name.chars().any(char::is_control) {
            return Err(ContractError::JobName);
        }
        if self.retention > MAX_RETENTION {
            return Err(ContractError::Retention(self.retention));
        }
        let Verification::Replicated { replicas, quorum } = self.verification;
        if replicas > MAX_REPLICAS || quorum > replicas || quorum.saturating_mul(2) <= replicas {
            return Err(ContractError::Quorum { replicas, quorum });
        }
        let mut total = 0u32;
        for (index, stage) in (0u8..).map(StageIndex).zip(&self.stages) {
            total = total.saturating_add(stage.shards);
            if stage.shards == 0 || total > MAX_SHARDS {
                return Err(ContractError::Shards { stage: index });
            }
            self.check_stage(index, stage)?;
        }
        Ok(())
    }

    fn check_stage(&self, index: StageIndex, stage: &Stage) -> Result<(), ContractError> {
        let earlier = || self.stages.iter().take(usize::from(index.0));
        if !is_name(&stage.name) || earlier().any(|other| other.name == stage.name) {
            return Err(ContractError::Name { stage: index, name: stage.name.to_string() });
        }
        let upstream_shards =
            |upstream: StageIndex| (upstream < index).then(|| self.stage(upstream)).flatten().map(|stage| stage.shards);
        let input = match &stage.input {
            Input::None | Input::Files { .. } => true,
            Input::Each { stage: upstream } => upstream_shards(*upstream) == Some(stage.shards),
            Input::All { stage: upstream } => upstream_shards(*upstream).is_some(),
        };
        if !input {
            return Err(ContractError::Input { stage: index });
        }
        let within = |what, value: u64, max: u64| {
            if (1..=max).contains(&value) { Ok(()) } else { Err(ContractError::Limit { stage: index, what, max }) }
        };
        within("memory", stage.memory, MAX_MEMORY)?;
        within("output", stage.output, super::MAX_BLOB)?;
        let arguments = match &stage.program {
            Program::Wasm { args, .. } => args,
            Program::Container { command, .. } => command,
        };
        if let Some(argument) = arguments.iter().position(|argument| argument.contains('\0')) {
            return Err(ContractError::Argument { stage: index, argument });
        }
        match &stage.program {
            Program::Wasm { fuel, .. } => within("fuel", fuel.0, MAX_FUEL),
            Program::Container { image, seconds, milli_cpu, .. } => {
                within("seconds", u64::from(*seconds), MAX_SECONDS)?;
                within("cpu", u64::from(*milli_cpu), 1_000_000)?;
                let digest = image.split_once("@sha256:").map(|(_, digest)| digest).unwrap_or_default();
                let pinned = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
                if pinned { Ok(()) } else { Err(ContractError::Image { stage: index }) }
            }
        }
    }
}

/// 1 to 32 of `[a-z0-9-]`: names of stages, tiers and chains.
pub fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
