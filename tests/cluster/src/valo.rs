//! What tests of Valo share: the charts as users install them, jobs, and the command line outside of the cluster.

use crate::harness::{Forward, Namespace};
use anyhow::{Context, ensure};
use std::{env, fs, path::PathBuf, process::Command, time::Instant};
use tempfile::TempDir;

const CHARTS: &str = "charts";
const PRIMES: &str = "examples/primes";
/// Where the operator is, in the tests and in the documentation.
pub const SYSTEM: &str = "valo-system";

/// A chart of the project.
pub fn chart(name: &str) -> String {
    format!("{CHARTS}/{name}")
}

/// `PREFIX.repository=…,PREFIX.digest=…` of an image that is on every node.
fn image(namespace: &Namespace, name: &str, prefix: &str) -> anyhow::Result<String> {
    let reference = namespace.cluster().image(name)?;
    let (repository, digest) = reference.split_once('@').context("images are named by digest")?;
    Ok(format!("{prefix}.repository={repository},{prefix}.digest={digest}"))
}

/// Installs definitions and operator for one test.
pub fn install_operator(namespace: &Namespace) -> anyhow::Result<()> {
    namespace.afterwards(|namespace| {
        namespace.kubectl(&["delete", "crd", "--selector=app.kubernetes.io/part-of=valo", "--timeout=60s"]).map(drop)
    });
    namespace.afterwards(|namespace| {
        namespace.helm(&["uninstall", "valo-crds", "--namespace", SYSTEM, "--ignore-not-found"])?;
        namespace.kubectl(&["delete", "namespace", SYSTEM, "--timeout=60s"]).map(drop)
    });
    let system = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {SYSTEM}, labels: {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
    );
    namespace.apply(&system)?;
    // Helm keeps what it knows of a release as a Secret: not among those of the network.
    namespace.helm(&["install", "valo-crds", &chart("valo-crds"), "--namespace", SYSTEM])?;
    namespace.afterwards(uninstall_operator);
    let (own, node) = (image(namespace, "operator", "image")?, image(namespace, "node", "nodeImage")?);
    let images = format!("{own},{node},image.pullPolicy=Never");
    let operator = chart("valo-operator");
    let arguments = ["install", "valo-operator", &operator, "--namespace", SYSTEM, "--set", &images];
    namespace.helm(&[&arguments[..], &["--wait", "--timeout=120s"]].concat()).map(drop)
}

/// Uninstalls the operator, and leaves the definitions.
pub fn uninstall_operator(namespace: &Namespace) -> anyhow::Result<()> {
    let arguments = ["uninstall", "valo-operator", "--namespace", SYSTEM, "--ignore-not-found", "--wait"];
    namespace.helm(&arguments).map(drop)
}

/// A release of the chart `valo-cluster`, and so a Network.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    pub namespace: &'a Namespace,
    pub name: &'static str,
}

impl<'a> Release<'a> {
    /// Installs the chart with its defaults but for the image, and for what further arguments say. Its end is waited
    /// for after the test.
    pub fn install(namespace: &'a Namespace, name: &'static str, more: &[&str]) -> anyhow::Result<Self> {
        namespace.afterwards(move |namespace| uninstall(namespace, name));
        let test = image(namespace, "node", "test.image")?;
        let values = format!("{test},image.pullPolicy=Never");
        let cluster = chart("valo-cluster");
        namespace.helm(&[&["install", name, &cluster, "--set", &values], more].concat())?;
        Ok(Self { namespace, name })
    }

    /// An object of the release: `tier("workers")` is `nodetier/demo-workers`.
    pub fn tier(&self, name: &str) -> String {
        format!("nodetier/{}-{name}", self.name)
    }

    /// Waits until the Network follows its chain, and until nodes of these tiers are all active.
    pub fn ready(&self, tiers: &[&str]) -> anyhow::Result<u64> {
        let before = Instant::now();
        self.namespace.wait(&format!("network/{}", self.name), "condition=Ready", 240)?;
        let seconds = before.elapsed().as_secs();
        eprintln!("Network {} Ready after {seconds} s", self.name);
        for tier in tiers {
            self.namespace.wait(&self.tier(tier), "condition=Ready", 120)?;
        }
        eprintln!("all nodes of {} active after {} s", self.name, before.elapsed().as_secs());
        Ok(seconds)
    }

    /// A job by `kubectl apply`, to its last word; its number.
    pub fn compute(&self, name: &str) -> anyhow::Result<String> {
        self.submit(name)?;
        let object = format!("jobcontract/{name}");
        self.namespace.wait(&object, "condition=Complete", 240)?;
        let number = self.namespace.get(&object, "{.status.job}")?;
        let command = self.namespace.get(&object, "{.status.result.command}")?;
        ensure!(!command.is_empty(), "{object} does not say how its result is fetched");
        Ok(number)
    }

    /// A job by `kubectl apply`.
    pub fn submit(&self, name: &str) -> anyhow::Result<()> {
        let file = format!("--from-file={PRIMES}/primes.wasm");
        self.namespace.kubectl(&["create", "configmap", name, &file])?;
        let network = self.name;
        let job = format!(
            "
apiVersion: valo.network/v1alpha1
kind: JobContract
metadata: {{name: {name}}}
spec:
  networkRef: {{name: {network}}}
  walletRef: {{name: {network}-owner}}
  filesFrom: [{{configMapRef: {{name: {name}}}}}]
  budget: \"1\"
  deadline: 10m
  stages:
  - name: search
    tier: small
    shards: 8
    wasm: {{module: primes.wasm, args: [\"--from\", \"1000000000\", \"--to\", \"1001000000\"], fuel: 500M, memory: 16Mi}}
  result: {{merge: concatenate, retention: 1h}}
"
        );
        self.namespace.apply(&job)
    }

    /// Proves a job's result from the genesis on; fails unless all that is checked is right.
    pub fn verify(&self, job: &str) -> anyhow::Result<()> {
        let genesis = "/etc/valo-genesis/genesis.json";
        let pod = format!("{}-validators-0", self.name);
        let valo = ["exec", &pod, "--", "valo", "--endpoint", "http://127.0.0.1:8080"];
        let said = self.namespace.kubectl(&[&valo[..], &["verify", job, "--genesis", genesis]].concat())?;
        ensure!(said.contains("verdicts"), "{said}");
        Ok(())
    }

    /// Scales a tier, and waits until cluster and chain have it.
    pub fn scale(&self, tier: &str, replicas: u32) -> anyhow::Result<()> {
        let before = Instant::now();
        self.namespace.kubectl(&["scale", &self.tier(tier), &format!("--replicas={replicas}")])?;
        self.scaled(tier, replicas)?;
        eprintln!("{tier} scaled to {replicas} in {} s", before.elapsed().as_secs());
        Ok(())
    }

    /// Waits until a tier has so many nodes, all of them active, and so many pods.
    pub fn scaled(&self, tier: &str, replicas: u32) -> anyhow::Result<()> {
        let object = self.tier(tier);
        let path = "{.status.observedGeneration}={.metadata.generation} {.status.replicas} {.status.readyReplicas}";
        self.namespace.until(&format!("{tier} has {replicas} nodes"), 240, || {
            let seen = self.namespace.get(&object, path)?;
            let (generations, counts) = seen.split_once(' ').unwrap_or_default();
            let is_current = generations.split_once('=').is_some_and(|(seen, wanted)| seen == wanted);
            ensure!(is_current && counts == format!("{replicas} {replicas}"), "{seen}");
            Ok(true)
        })?;
        let selector = format!("--selector=valo.network/node-tier={}-{tier}", self.name);
        self.namespace.until(&format!("{tier} has {replicas} pods"), 60, || {
            let pods = self.namespace.kubectl(&["get", "pods", &selector, "--output=name"])?;
            Ok(pods.lines().count() == usize::try_from(replicas)?)
        })
    }

    /// The public key of a wallet, as soon as it has one.
    pub fn wallet_key(&self, wallet: &str) -> anyhow::Result<String> {
        let object = format!("wallet/{}-{wallet}", self.name);
        self.namespace.kubectl(&["wait", &object, "--for=jsonpath={.status.publicKey}", "--timeout=60s"])?;
        self.namespace.get(&object, "{.status.publicKey}")
    }
}

fn uninstall(namespace: &Namespace, release: &str) -> anyhow::Result<()> {
    namespace.helm(&["uninstall", release, "--ignore-not-found"])?;
    let gone = ["delete", "jobcontracts,nodetiers,wallets,networks", "--all", "--timeout=240s"];
    namespace.kubectl(&gone).map(drop)
}

/// Somebody outside of the cluster with `valo`, the key of a wallet, and a port forwarded to the API.
#[derive(Debug)]
pub struct Outside {
    forward: Forward,
    home: TempDir,
}

impl Outside {
    /// With the key of the owner's wallet, as docs/install.md has it.
    pub fn of(release: &Release<'_>) -> anyhow::Result<Self> {
        let home = TempDir::new()?;
        let secret = format!("{}-owner", release.name);
        let read = ["get", "secret", &secret, "--output=go-template={{.data.key|base64decode}}"];
        let key = release.namespace.kubectl(&read)?;
        let forward = Forward::to(release.namespace, &format!("service/{}-api", release.name), 8080)?;
        let outside = Self { forward, home };
        let file = outside.home.path().join("key");
        fs::write(&file, key)?;
        let file = file.to_string_lossy();
        outside.valo(&["key", "import", "owner", &file, "--plain"])?;
        Ok(outside)
    }

    /// Runs `valo`; what it printed.
    pub fn valo(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(program()?);
        command.args(arguments).env("VALO_HOME", self.home.path().join("valo"));
        command.env("VALO_ENDPOINT", self.forward.endpoint()).env("VALO_KEY", "owner");
        let output = command.output().context("cannot start valo")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(output.status.success(), "valo {}: {}", arguments.join(" "), text(&output.stderr));
        Ok(text(&output.stdout))
    }

    /// What `valo … -o json` says.
    pub fn json(&self, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
        let said = self.valo(&[arguments, &["-o", "json"]].concat())?;
        serde_json::from_str(&said).with_context(|| format!("no JSON: {said}"))
    }
}

/// `valo`, as it is in the images.
fn program() -> anyhow::Result<PathBuf> {
    let own = env::current_exe()?;
    let folder = env::var_os("VALO_PROGRAMS").map(PathBuf::from).or_else(|| Some(own.parent()?.to_owned()));
    folder.map(|folder| folder.join("valo")).context("no folder with programs")
}
