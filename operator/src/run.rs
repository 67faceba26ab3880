//! The operator as a whole: it serves health and metrics, waits for the lease, and runs all controllers while it has it.
//!
//! When the lease is lost everything is dropped at once and the process ends with an error: Kubernetes starts it anew,
//! and nothing that was begun under the old lease goes on under the new one. On SIGTERM passes under way are finished,
//! for at most [`FINISH`], and the lease is handed over.

use crate::{
    arguments::{Arguments, LogFormat},
    context::{Context, Settings},
    controller::{self, Guarded},
    metrics::Metrics,
    names::{COMPONENT, MANAGED_BY, MANAGER, NODE_TIER},
    server::{self, Health},
};
use anyhow::Context as _;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use k8s_controller::LeaderElection;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod, Secret, Service},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Client, ResourceExt,
    runtime::{reflector::ObjectRef, watcher},
};
use std::{sync::Arc, time::Duration};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use valo_crds::{JobContract, LocalReference, Network, NodeTier, ShardGroup, Wallet};

/// The lease that one of all replicas holds.
const LEASE: &str = "valo-operator";
/// Ends when the operator is told to stop; for as many as wait for it.
type End = Shared<BoxFuture<'static, ()>>;

/// How long passes under way may take to finish.
const FINISH: Duration = Duration::from_secs(20);

/// Runs the operator until it is told to stop.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    start_logs(arguments.log_format);
    let end = terminated()?;
    let client = Client::try_default().await.context("cannot find the cluster")?;
    let metrics = Metrics::default();
    let health = Health::new(metrics.clone());
    let server = tokio::spawn(server::serve(arguments.listen, health.clone(), end.clone()));
    let version = client.apiserver_version().await.context("the API server does not answer")?;
    tracing::info!(kubernetes = version.git_version, operator = env!("CARGO_PKG_VERSION"), "started");
    health.set_ready(true);

    let settings = Settings { node_image: arguments.node_image.clone(), namespace: arguments.namespace.clone() };
    let context = Arc::new(Context::new(client.clone(), settings, metrics.clone(), &arguments.identity));
    let election = LeaderElection::new(client, &arguments.namespace, LEASE, &arguments.identity);
    let controllers = {
        let (leader, end) = (metrics.leader.clone(), end.clone());
        async move {
            leader.set(1);
            controllers(context, arguments.watch_namespace.as_deref(), end).await;
        }
    };
    let led = election.with_lease(controllers);
    let result = tokio::select! {
        done = led => done.context("the lease was lost: another replica goes on"),
        () = end.clone().then(|()| tokio::time::sleep(FINISH)) => {
            election.release().await;
            Ok(())
        }
    };
    metrics.leader.set(0);
    health.set_ready(false);
    tracing::info!("stopped");
    server.abort();
    result
}

/// All controllers, until the end.
async fn controllers(context: Arc<Context>, namespace: Option<&str>, end: End) {
    let ours = || watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    let wallets = controller::run::<Wallet>(
        controller::api(&context, namespace),
        context.clone(),
        end.clone().map(drop),
        |wallets| {
            let secrets = controller::api::<Secret>(&context, namespace);
            wallets.watches(secrets, ours(), |secret| of_the_same_name(&secret))
        },
    );
    let networks = controller::run::<Network>(
        controller::api(&context, namespace),
        context.clone(),
        end.clone().map(drop),
        |networks| {
            let (tiers, wallets) = (controller::api(&context, namespace), controller::api(&context, namespace));
            let changed = watcher::Config::default();
            networks
                .owns(controller::api::<ConfigMap>(&context, namespace), ours())
                .owns(controller::api::<Service>(&context, namespace), ours())
                .owns(controller::api::<Guarded<ShardGroup>>(&context, namespace), ours())
                .watches(tiers, changed.clone(), |tier: Guarded<NodeTier>| {
                    network_of(&tier.0.as_ref().ok()?.spec.network_ref, tier.namespace())
                })
                .watches(wallets, changed, |wallet: Guarded<Wallet>| {
                    network_of(&wallet.0.as_ref().ok()?.spec.network_ref, wallet.namespace())
                })
        },
    );
    let tiers = controller::run::<NodeTier>(
        controller::api(&context, namespace),
        context.clone(),
        end.clone().map(drop),
        |tiers| {
            let store = tiers.store();
            let networks = controller::api(&context, namespace);
            tiers
                .owns(controller::api::<StatefulSet>(&context, namespace), ours())
                .owns(controller::api::<Service>(&context, namespace), ours())
                .owns(controller::api::<ConfigMap>(&context, namespace), ours())
                .owns(controller::api::<NetworkPolicy>(&context, namespace), ours())
                .owns(controller::api::<PodDisruptionBudget>(&context, namespace), ours())
                .watches(controller::api::<Pod>(&context, namespace), ours(), |pod| tier_of(&pod))
                .watches(controller::api::<Secret>(&context, namespace), ours(), |secret| tier_of(&secret))
                .watches(networks, watcher::Config::default(), move |network: Guarded<Network>| {
                    let (name, namespace) = (network.name_any(), network.namespace());
                    let of_it = move |tier: &Arc<Guarded<NodeTier>>| {
                        let spec = tier.0.as_ref().ok().map(|tier| &tier.spec);
                        spec.is_some_and(|spec| spec.network_ref.name == name) && tier.namespace() == namespace
                    };
                    store.state().into_iter().filter(of_it).map(|tier| ObjectRef::from_obj(&*tier)).collect::<Vec<_>>()
                })
        },
    );
    let jobs = controller::run::<JobContract>(
        controller::api(&context, namespace),
        context.clone(),
        end.clone().map(drop),
        |jobs| jobs,
    );
    futures::join!(wallets, networks, tiers, jobs);
}

/// The Network that something refers to.
fn network_of(reference: &LocalReference, namespace: Option<String>) -> Option<ObjectRef<Guarded<Network>>> {
    Some(ObjectRef::new(&reference.name).within(&namespace?))
}

/// The NodeTier that something belongs to, by its label.
fn tier_of(object: &impl ResourceExt) -> Option<ObjectRef<Guarded<NodeTier>>> {
    Some(ObjectRef::new(object.labels().get(NODE_TIER)?).within(&object.namespace()?))
}

/// A wallet's Secret has its name, and no owner reference that would let it go with the wallet.
fn of_the_same_name(secret: &Secret) -> Option<ObjectRef<Guarded<Wallet>>> {
    secret.labels().get(COMPONENT).filter(|component| *component == "wallet-key")?;
    Some(ObjectRef::new(&secret.name_any()).within(&secret.namespace()?))
}

/// Ends with SIGTERM or SIGINT.
fn terminated() -> anyhow::Result<End> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let told = async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    };
    let told = told.boxed().shared();
    // Driven by a task of its own, so that whoever waits for it is woken.
    tokio::spawn(told.clone());
    Ok(told)
}

fn start_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_env("VALO_LOG").unwrap_or_else(|_| EnvFilter::new("info,kube=warn"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let _ = match format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => lines.try_init(),
    };
}
