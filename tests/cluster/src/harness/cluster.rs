//! The cluster: up, down, and what can be done to it.

use super::command::{program, run};
use anyhow::Context;
use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Below the project's root, where the tests run: a path that is compiled in may be that of another clone.
const TESTBED: &str = "tests/cluster/testbed/cluster";

/// A cluster that is up. It goes down when this is dropped, unless `VALO_KEEP` is set.
#[derive(Debug)]
pub struct Cluster {
    /// Where the testbed keeps its tools and the running cluster.
    home: PathBuf,
    /// Images by name, as references by digest.
    images: BTreeMap<String, String>,
}

impl Cluster {
    /// Brings a cluster up, with the images of `VALO_IMAGES` on every node.
    pub fn up() -> anyhow::Result<Self> {
        anyhow::ensure!(Path::new(TESTBED).exists(), "run it in the project's root, as make cluster-test does");
        let folder =
            env::var_os("VALO_IMAGES").context("VALO_IMAGES is not set; make cluster-test builds the images")?;
        let (images, archives) = read_images(Path::new(&folder))?;
        let nodes = env::var("VALO_NODES").unwrap_or_else(|_| "3".to_owned());
        if !kept() {
            Self::down()?;
        }
        // Before it comes up: from here on it is taken down, however far it came.
        let cluster = Self { home: testbed(&["home"])?.into(), images };
        testbed(&["up", "--nodes", &nodes])?;
        let load: Vec<_> = ["load"].into_iter().chain(archives.iter().map(String::as_str)).collect();
        testbed(&load)?;
        Ok(cluster)
    }

    /// Takes down whatever cluster is up on this machine.
    pub fn down() -> anyhow::Result<()> {
        testbed(&["down"]).map(drop)
    }

    /// `kubectl` as administrator.
    pub fn kubectl(&self) -> Command {
        self.tool("kubectl")
    }

    /// One of the programs that were built for the cluster: `kubectl`, `helm`, `kubeconform`.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = program(self.home.join("tools").join(name));
        self.known_to(&mut command);
        command
    }

    /// The same without a limit of time: whoever starts it ends it.
    pub fn lasting(&self, name: &str) -> Command {
        let mut command = Command::new(self.home.join("tools").join(name));
        self.known_to(&mut command);
        command
    }

    fn known_to(&self, command: &mut Command) {
        // What a cluster said of its kinds goes with it: the next one has the same address.
        command
            .env("KUBECONFIG", self.home.join("run/admin.kubeconfig"))
            .env("KUBECACHEDIR", self.home.join("run/kubectl"));
    }

    /// An image, `node` or `operator`, as a reference by digest.
    pub fn image(&self, name: &str) -> anyhow::Result<&str> {
        self.images.get(name).map(String::as_str).with_context(|| format!("no image {name} in VALO_IMAGES"))
    }

    /// Kills a component, such as `node-2/kubelet`, or a whole node as a power cut would.
    pub fn kill(&self, component: &str) -> anyhow::Result<()> {
        testbed(&["kill", component]).map(drop)
    }

    /// Starts a component or a node again, and waits until it is well.
    pub fn restart(&self, component: &str) -> anyhow::Result<()> {
        testbed(&["restart", component]).map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !kept()
            && let Err(error) = Self::down()
        {
            eprintln!("{error:#}");
        }
    }
}

/// Whether what is up stays up.
pub fn kept() -> bool {
    env::var_os("VALO_KEEP").is_some()
}

/// Runs a command of the testbed, which ends by itself: its first build may take longer than any limit here.
fn testbed(arguments: &[&str]) -> anyhow::Result<String> {
    run(Command::new(TESTBED).args(arguments), "")
}

/// The images in a folder: references by name, and archives.
fn read_images(folder: &Path) -> anyhow::Result<(BTreeMap<String, String>, Vec<String>)> {
    let context = || format!("cannot read the images in {}", folder.display());
    let (mut references, mut archives) = (BTreeMap::new(), Vec::new());
    for entry in fs::read_dir(folder).with_context(context)? {
        let path = entry.with_context(context)?.path();
        if path.extension().is_some_and(|extension| extension == "tar") {
            let reference = fs::read_to_string(path.with_extension("reference")).with_context(context)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            references.insert(name, reference.trim().to_owned());
            archives.push(path.to_string_lossy().into_owned());
        }
    }
    anyhow::ensure!(!archives.is_empty(), "no images in {}; make cluster-test builds them", folder.display());
    Ok((references, archives))
}
