//! What the API says: one module for a subject, shared by the node that answers and whoever asks.

mod account;
mod blob;
mod chain;
mod event;
mod explain;
mod job;
mod page;
mod problem;
mod proof;
mod registry;
mod transaction;
mod worker;

pub use account::{Account, AccountReference, AccountReferenceError};
pub use blob::{BlobInfo, BlobList};
pub use chain::{
    Block, BlockHeader, BlockSummary, CertificateSummary, FinalizedHeader, NodeStatus, ParametersInForce, Status,
};
pub use event::{EVENT_TYPES, EventFilter, EventId, EventIdError, EventRecord, event_accounts, event_type};
pub use explain::{
    AnswerExplanation, DrawExplanation, DrawnExplanation, EscalationExplanation, JobExplanation, Moment,
    PassedOverExplanation, ShardExplanation, Standing, WaitExplanation,
};
pub use job::{
    Job, JobFilter, JobPlace, JobResults, JobStage, JobSummary, PhaseName, ProgramKind, Replica, ReplicaState, Shard,
    ShardLog, ShardLogs, ShardOutcome, ShardState, UnknownPhase,
};
pub use page::{Page, PageRequest};
pub use problem::{PROBLEM_CONTENT_TYPE, Problem};
pub use proof::{Proof, table_name, table_named};
pub use registry::{Group, Node, NodeReference, NodeReferenceError, TierInfo, ValidatorInfo, Validators};
pub use transaction::{
    Rejection, Submission, SubmissionResult, SubmissionResults, Submitted, TransactionDetails, TransactionState,
    TransactionStatus,
};
pub use worker::{Assignment, AssignmentState, Assignments};
