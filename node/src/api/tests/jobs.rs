//! A job from submission to its verified result, as a client follows it.

use super::{TestNode, workers::stage};
use valo_client::{
    light::{LightError, OutputScope, Trust, verify_job, verify_proof},
    types::{JobFilter, PageRequest, PhaseName, ReplicaState, ShardState, Standing},
};
use valo_ledger::testing::account;
use valo_protocol::{
    Action, BlobHash, Hash, Height,
    event::{JobFailure, JobPhase},
    job::{Input, JobId, ShardIndex, ShardKey, StageIndex},
    proof::StateTable,
    registry::NodeId,
};

fn two_stages(node: &TestNode) -> valo_protocol::JobContract {
    let second = Input::Each { stage: StageIndex(0) };
    node.contract(vec![stage("first", Input::None, 3), stage("second", second, 3)])
}

#[tokio::test]
async fn a_job_is_followed_to_its_end() {
    let node = TestNode::start().await;
    let client = &node.client;
    let job = node.submit(two_stages(&node)).await;
    let page = PageRequest::first();
    let shown = client.job(job).await.unwrap();
    assert_eq!((shown.name.as_str(), shown.submitter, shown.place.table), ("test", account(0), StateTable::Jobs));
    assert_eq!((shown.stages[0].is_result, shown.stages[1].is_result), (false, true));
    assert_eq!(client.job_contract(job).await.unwrap().hash(), shown.contract);
    let shards = client.job_shards(job, &page).await.unwrap();
    assert_eq!(shards.items.len(), 6);
    assert_eq!((&shards.items[0].state, &shards.items[5].state), (&ShardState::Waiting, &ShardState::Blocked));

    // Once drawn, the workers have it among their assignments.
    node.work_until(job, None, |phase| matches!(phase, JobPhase::Running));
    let shards = client.job_shards(job, &PageRequest::limited(2)).await.unwrap();
    assert_eq!(shards.next.as_deref(), Some("0.2"));
    assert!(matches!(shards.items[0].state, ShardState::Running { .. }), "{:?}", shards.items[0]);
    assert_eq!(shards.items[0].assignments.len(), 3);
    assert!(shards.items[0].assignments.iter().all(|replica| replica.state == ReplicaState::Assigned));
    let drawn = shards.items[0].assignments[0].node;
    assert!(!client.assignments_of(drawn).await.unwrap().assignments.is_empty());

    node.work_until(job, None, JobPhase::is_accepted);
    let results = client.job_results(job).await.unwrap();
    assert_eq!((results.shards.len(), results.result_stages.clone()), (6, vec![StageIndex(1)]));
    assert!(results.root.is_some());
    assert_eq!(results.shards[0].nodes.len(), 3);
    node.work_until(job, None, |phase| phase == JobPhase::Final);
    let shown = client.job(job).await.unwrap();
    assert_eq!((shown.phase, shown.place.table), (JobPhase::Final, StateTable::Results));
    let shards = client.job_shards(job, &page).await.unwrap();
    assert!(shards.items.iter().all(|shard| matches!(shard.state, ShardState::Accepted { .. })));

    let logs = client.shard_logs(ShardKey { job, ..ShardKey::default() }).await.unwrap();
    assert_eq!(logs.logs[0].stdout, "hello");
    for shard in [
        ShardKey { job, stage: StageIndex(0), shard: ShardIndex(1) },
        ShardKey { job: JobId(9), ..ShardKey::default() },
        ShardKey { job, stage: StageIndex(7), shard: ShardIndex(0) },
    ] {
        assert!(client.shard_logs(shard).await.unwrap_err().is_not_found());
    }
}

#[tokio::test]
async fn logs_of_a_job_that_failed_are_still_found() {
    let node = TestNode::start().await;
    let job = node.submit(node.contract(vec![stage("one", Input::None, 1)])).await;
    node.work_until(job, None, |phase| phase == JobPhase::Running);
    node.session(0).await.submit(Action::CancelJob { job }).await.unwrap();
    for _ in 0..5 {
        node.block();
    }
    assert_eq!(node.client.job(job).await.unwrap().phase, JobPhase::Failed(JobFailure::Cancelled));
    let shard = ShardKey { job, ..ShardKey::default() };
    assert!(node.shared.chain().view().shard(shard).unwrap().is_none(), "the state has forgotten the shard");
    let logs = node.client.shard_logs(shard).await.unwrap().logs;
    assert_eq!(logs.len(), 3, "{logs:?}");
}

#[tokio::test]
async fn jobs_are_listed_by_submitter_and_phase() {
    let node = TestNode::start().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(node.submit(node.contract(vec![stage("one", Input::None, 1)])).await);
    }
    node.work_until(jobs[2], None, |phase| phase == JobPhase::Final);
    let last = node.submit(node.contract(vec![stage("one", Input::None, 1)])).await;
    let list = |filter: JobFilter, page: PageRequest| {
        let client = node.client.clone();
        async move {
            let page = client.jobs(&filter, &page).await.unwrap();
            (page.items.iter().map(|job| job.id.0).collect::<Vec<_>>(), page.next)
        }
    };
    let all = JobFilter::default();
    assert_eq!(list(all.clone(), PageRequest::first()).await, (vec![4, 3, 2, 1], None));
    let (first, next) = list(all.clone(), PageRequest::limited(3)).await;
    assert_eq!((first, next.as_deref()), (vec![4, 3, 2], Some("1")));
    assert_eq!(list(all, PageRequest { from: next, limit: None }).await, (vec![1], None));
    let finals = JobFilter { phase: Some(PhaseName::Final), ..JobFilter::default() };
    assert_eq!(list(finals, PageRequest::first()).await.0, [3, 2, 1]);
    let others = JobFilter { submitter: Some(account(1)), ..JobFilter::default() };
    assert_eq!(list(others, PageRequest::first()).await.0, [0u64; 0]);
    assert_eq!(last, JobId(4));
    let (of_mine, id) = (account(0), [0x5a; 16]);
    assert_eq!(node.client.job_by_client_id(of_mine, id).await.unwrap(), None);
    let contract = node.contract(vec![stage("one", Input::None, 1)]);
    node.session(0).await.submit(Action::SubmitJob { client_id: Some(id), contract }).await.unwrap();
    node.block();
    assert_eq!(node.client.job_by_client_id(of_mine, id).await.unwrap(), Some(JobId(5)));
    assert_eq!(node.client.job_by_client_id(account(1), id).await.unwrap(), None, "an id is its account's");
    for path in ["v1/jobs/0", "v1/jobs/9/contract", "v1/jobs/9/shards", "v1/jobs/9/results", "v1/jobs/9/explain"] {
        let status = super::http().get(node.url(&format!("/{path}"))).send().await.unwrap().status();
        assert_eq!(status.as_u16(), 404, "{path}");
    }
    for path in [
        "v1/jobs/x",
        "v1/jobs?phase=done",
        "v1/jobs?submitter=x",
        "v1/jobs?clientId=5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
        "v1/jobs?submitter=00000000&clientId=5a",
        "v1/jobs/1/shards?from=x",
        "v1/jobs/1/explain?from=0.x",
    ] {
        let status = super::http().get(node.url(&format!("/{path}"))).send().await.unwrap().status();
        assert_eq!(status.as_u16(), 400, "{path}");
    }
}

#[tokio::test]
async fn a_story_names_who_was_drawn_who_differed_and_what_it_cost() {
    let node = TestNode::start().await;
    let liar = NodeId(2);
    let job = node.submit(node.contract(vec![stage("one", Input::None, 4)])).await;
    node.work_until(job, Some(liar), |phase| phase == JobPhase::Final);
    let story = node.client.job_explanation(job, &PageRequest::first()).await.unwrap();
    assert_eq!(story.shards.len(), 4);
    assert!(story.worth.contains("different owners"), "{}", story.worth);
    assert!(story.summary.contains("final"), "{}", story.summary);
    // Jurors are paid out of what the liar lost, beside what the escrow paid.
    assert!(story.paid >= node.record(job).paid);
    let parts = story.shards.iter().flat_map(|shard| &shard.answers);
    assert_eq!(story.paid.units(), parts.map(|part| part.paid.units()).sum::<u64>());
    let mut lost = 0;
    for shard in &story.shards {
        let draw = &shard.draws[0];
        assert!(draw.seed_height > story.submitted.unwrap().height, "the seed is later than the job");
        assert_eq!(draw.drawn.len(), 3);
        assert_eq!(draw.drawn.len() + draw.passed_over.len(), 4, "the fourth is named with its reason");
        for part in &shard.answers {
            if part.node == liar {
                assert_eq!(part.standing, Standing::Differed, "{}", part.why);
                assert!(!part.slashed.is_zero() && part.paid.is_zero());
                assert!(shard.summary.contains("node 2 differed"), "{}", shard.summary);
                lost += part.slashed.units();
            } else {
                assert_eq!(part.standing, Standing::Agreed, "{}", part.why);
                assert!(!part.paid.is_zero());
                assert!(part.committed.unwrap().height < part.revealed.unwrap().height);
            }
        }
    }
    assert!(lost > 0, "the liar was drawn at least once among four shards of three of four workers");
    assert_eq!(story.slashed.units(), lost);

    let paged = node.client.job_explanation(job, &PageRequest::limited(3)).await.unwrap();
    assert_eq!((paged.shards.len(), paged.next.as_deref()), (3, Some("0.3")));
    assert_eq!(paged.slashed, story.slashed, "totals are of the whole job");
    let rest = PageRequest { from: paged.next, limit: None };
    assert_eq!(node.client.job_explanation(job, &rest).await.unwrap().shards, story.shards[3..]);
}

#[tokio::test]
async fn a_result_is_verified_from_genesis_to_its_last_byte() {
    let node = TestNode::start().await;
    let job = node.submit(two_stages(&node)).await;
    let genesis = node.client.genesis().await.unwrap();
    let trust = Trust::from_genesis(&genesis).unwrap();
    let verify = |trust: Trust, scope| {
        let client = node.client.clone();
        async move { verify_job(&client, &trust, job, scope, |_| {}).await }
    };
    let early = verify(trust.clone(), OutputScope::All).await.unwrap_err();
    assert!(matches!(early, LightError::NoResult { .. }), "{early}");
    node.work_until(job, None, JobPhase::is_accepted);

    let report = verify(trust.clone(), OutputScope::All).await.unwrap();
    assert_eq!((report.files, report.results.len()), (6, 6));
    assert!(report.caveats.iter().any(|caveat| caveat.contains("provisional")), "{:?}", report.caveats);
    let steps: Vec<&str> = report.checked.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(steps, ["validators", "certificate", "header", "state", "contract", "verdicts", "outputs"]);
    assert_eq!(verify(trust.clone(), OutputScope::Result).await.unwrap().files, 3);
    assert_eq!(verify(trust.clone(), OutputScope::None).await.unwrap().files, 0);

    // From a checkpoint, at it and after it, but not before.
    let validators = genesis.validators().unwrap().hash();
    let checkpoint = |height| Trust::Checkpoint { genesis: genesis.hash(), height, validators };
    verify(checkpoint(Height(1)), OutputScope::None).await.unwrap();
    let late = verify(checkpoint(Height(1 << 40)), OutputScope::None).await.unwrap_err();
    assert!(matches!(late, LightError::BeforeCheckpoint { .. }), "{late}");
    // Other trust, other answer.
    let other = Trust::Checkpoint { genesis: genesis.hash(), height: Height(1), validators: Hash([7; 32]) };
    let changed = verify(other, OutputScope::None).await.unwrap_err();
    assert!(matches!(changed, LightError::ValidatorsChanged { .. }), "{changed}");
    let mut stranger = genesis.clone();
    stranger.time.0 += 1;
    let other = verify(Trust::from_genesis(&stranger).unwrap(), OutputScope::None).await.unwrap_err();
    assert!(matches!(other, LightError::OtherChain { .. }), "{other}");

    // A byte of a file changed on the node: the check says which output.
    let results = node.client.job_results(job).await.unwrap();
    let digest = BlobHash::from(results.shards[4].answer.unwrap().digest);
    node.shared.blobs.lock().unwrap().insert(digest, bytes::Bytes::from_static(b"other"));
    let tampered = verify(trust.clone(), OutputScope::Result).await.unwrap_err();
    assert!(tampered.to_string().starts_with("stage 1 shard 1: the output"), "{tampered}");
    node.shared.blobs.lock().unwrap().remove(&digest);
    assert!(verify(trust, OutputScope::Result).await.unwrap_err().to_string().contains("unavailable"));
}

#[tokio::test]
async fn a_proof_that_was_touched_does_not_hold() {
    let node = TestNode::start().await;
    let job = node.submit(two_stages(&node)).await;
    let proof = node.client.job_proof(job).await.unwrap();
    let trust = Trust::from_genesis(&node.client.genesis().await.unwrap()).unwrap();
    verify_proof(&trust, &proof).unwrap();
    let mut row = proof.clone();
    row.row.row[9] ^= 1;
    let mut header = proof.clone();
    header.finalized.header.time.0 += 1;
    let mut signature = proof.clone();
    let mut signatures = signature.finalized.certificate.signatures.to_vec();
    signatures[0].signature.0[5] ^= 1;
    signature.finalized.certificate.signatures = valo_protocol::bytes::BoundedVec::new(signatures).unwrap();
    let mut unsigned = proof;
    unsigned.finalized.certificate.signatures = Default::default();
    for touched in [row, header, signature, unsigned] {
        assert!(matches!(verify_proof(&trust, &touched), Err(LightError::Proof(_))));
    }
}
