//! The operator as a whole: it serves health and metrics, waits for the lease, and runs all controllers while it has it.
//!
//! When the lease is lost everything is dropped at once, with all that was read or begun under it, and the operator stands
//! for election again: to end instead would make Kubernetes wait ever longer before it starts this anew, on a cluster
//! that is merely busy. On SIGTERM passes under way are finished, for at most [`FINISH`], and the lease is handed over
//! (see [`crate::lease`]).

use crate::{
    arguments::{Arguments, LogFormat},
    context::{Context, Settings},
    controller::{self, Guarded, SOON},
    lease::{self, End, FINISH, Lost, TIMING, Timing},
    metrics::Metrics,
    names::{COMPONENT, MANAGED_BY, MANAGER, NODE_TIER},
    server::{self, Health},
};
use anyhow::Context as _;
use futures::FutureExt;
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{ConfigMap, Pod, Secret, Service},
    networking::v1::{Ingress, NetworkPolicy},
    policy::v1::PodDisruptionBudget,
};
use kube::{
    Client, ResourceExt,
    runtime::{reflector::ObjectRef, watcher},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tracing_subscriber::EnvFilter;
use valo_crds::{JobContract, LocalReference, Network, NodeTier, ShardGroup, Wallet};

/// How long the API server may take to say what it is.
const VERSION: Duration = Duration::from_secs(5);

/// Runs the operator until it is told to stop.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    start_logs(arguments.log_format);
    let end = terminated()?;
    let client = Client::try_default().await.context("cannot find the cluster")?;
    let listen = arguments.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let result = work(arguments, client, listener, TIMING, end).await;
    tracing::info!("stopped");
    result
}

/// Serves, waits for the lease and works, as often as it is elected.
async fn work(
    arguments: Arguments,
    client: Client,
    listener: TcpListener,
    timing: Timing,
    end: End,
) -> anyhow::Result<()> {
    let metrics = Metrics::default();
    let health = Health::new(metrics.clone());
    // It answers until the process ends: one that finishes its passes is alive.
    let server = server::serve(listener, health.clone());
    let terms = async {
        loop {
            tokio::select! {
                () = reached(&client) => {}
                () = end.clone() => return Ok(()),
            }
            health.set_ready(true);
            // Boxed: a type of this depth, nested again, takes the compiler minutes.
            match term(&arguments, &client, &metrics, timing, end.clone()).boxed_local().await {
                Ok(()) => return Ok(()),
                Err(lost) => tracing::warn!("{lost}"),
            }
        }
    };
    let unready = async {
        end.clone().await;
        health.set_ready(false);
        std::future::pending().await
    };
    tokio::select! {
        result = terms => result,
        served = server => served,
        never = unready => never,
    }
}

/// Waits for the lease and works until it is lost, or until the end. Nothing is kept from an earlier term.
async fn term(arguments: &Arguments, client: &Client, metrics: &Metrics, timing: Timing, end: End) -> Result<(), Lost> {
    let settings = Settings { node_image: arguments.node_image.clone(), namespace: arguments.namespace.clone() };
    let context = Arc::new(Context::new(client.clone(), settings, metrics.clone(), &arguments.identity));
    let election = lease::election(client.clone(), &arguments.namespace, &arguments.identity, timing);
    let led = {
        let end = end.clone();
        async move {
            metrics.leader.set(1);
            controllers(context, arguments.watch_namespace.as_deref(), end).await;
        }
    };
    let led = lease::lead(&election, end, FINISH, led).boxed_local().await;
    metrics.leader.set(0);
    led
}

/// Waits until the API server answers. To end instead would make Kubernetes wait ever longer before it starts this anew.
async fn reached(client: &Client) {
    loop {
        match tokio::time::timeout(VERSION, client.apiserver_version()).await {
            Ok(Ok(version)) => {
                let operator = env!("CARGO_PKG_VERSION");
                return tracing::info!(kubernetes = version.git_version, operator, "started");
            }
            Ok(Err(error)) => tracing::warn!(error = controller::causes(&error), "the API server does not answer"),
            Err(_) => tracing::warn!("the API server does not answer"),
        }
        tokio::time::sleep(SOON).await;
    }
}

/// All controllers, until the end.
pub(crate) async fn controllers(context: Arc<Context>, namespace: Option<&str>, end: End) {
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
                .owns(controller::api::<Ingress>(&context, namespace), ours())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ApiServer;
    use clap::Parser;
    use futures::future::BoxFuture;
    use k8s_openapi::api::coordination::v1::Lease;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
    };

    async fn get(at: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_serves_before_it_is_ready_leads_and_hands_the_lease_over() {
        let server = ApiServer::start().await;
        server.set_down(true);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (stop, told) = oneshot::channel::<()>();
        let told: BoxFuture<'static, ()> = told.map(drop).boxed();
        let arguments = Arguments::parse_from(["valo-operator", "--identity", "a", "--namespace", "valo-system"]);
        let running = work(arguments, server.client(), listener, TIMING, told.shared());
        let (ended, ()) = tokio::join!(running, led(&server, at, stop));
        ended.unwrap();
        assert_eq!(holder(&server), None);
    }

    fn holder(server: &ApiServer) -> Option<String> {
        let lease = server.get("leases", "valo-system", lease::LEASE)?;
        lease["spec"]["holderIdentity"].as_str().map(str::to_owned)
    }

    /// Looks on while it works, and tells it to stop.
    async fn led(server: &ApiServer, at: std::net::SocketAddr, stop: oneshot::Sender<()>) {
        assert!(get(at, "/healthz").await.starts_with("HTTP/1.1 200"), "it is alive without an API server");
        assert!(get(at, "/readyz").await.starts_with("HTTP/1.1 503"));
        server.set_down(false);
        assert_eq!(server.until("a leader", holder).await, "a");
        let held = server.get("leases", "valo-system", lease::LEASE).unwrap();
        assert_eq!(held["spec"]["leaseDurationSeconds"], TIMING.duration.as_secs());
        assert!(get(at, "/readyz").await.starts_with("HTTP/1.1 200"));
        server.put_as::<Wallet>(serde_json::json!({
            "metadata": {"name": "alice", "namespace": "valo"}, "spec": {"networkRef": {"name": "demo"}},
        }));
        server.until("a key", |server| server.get("secrets", "valo", "alice")).await;
        server.until("a status", |server| server.get("wallets", "valo", "alice")?.get("status").cloned()).await;
        stop.send(()).unwrap();
    }
    #[tokio::test]
    async fn one_that_lost_the_lease_stands_again_and_starts_from_nothing() {
        let server = ApiServer::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop, told) = oneshot::channel::<()>();
        let told: BoxFuture<'static, ()> = told.map(drop).boxed();
        let arguments = Arguments::parse_from(["valo-operator", "--identity", "a", "--namespace", "valo-system"]);
        let quick = Timing {
            duration: Duration::from_secs(1),
            deadline: Duration::from_millis(800),
            retry: Duration::from_millis(100),
        };
        let running = work(arguments, server.client(), listener, quick, told.shared());
        let looking = async {
            for name in ["alice", "bob", "carol"] {
                server.until("a leader", |server| holder(server).filter(|holder| holder == "a")).await;
                server.put_as::<Wallet>(serde_json::json!({
                    "metadata": {"name": name, "namespace": "valo"}, "spec": {"networkRef": {"name": "demo"}},
                }));
                server.until("a status", |server| server.get("wallets", "valo", name)?.get("status").cloned()).await;
                // Another one has it, and dies.
                let mut lease: Lease = server.read("valo-system", lease::LEASE).unwrap();
                lease.spec.as_mut().unwrap().holder_identity = Some("b".to_owned());
                server.put_object(&lease);
            }
            stop.send(()).unwrap();
        };
        let (ended, ()) = tokio::join!(running, looking);
        ended.unwrap();
    }
}
