//! The pods of a NodeTier (docs/node-in-a-pod.md says what a node relies on).
//!
//! Each pod sees its own key only: the volume lists the Secrets of all ordinals, the mount takes the file of the pod's
//! own name. The list grows in blocks, and pods are replaced by the operator alone (`OnDelete`), so that scaling
//! restarts nobody. What a pod is restarted for is in the annotation [`TEMPLATE`].

use super::{config_map, labels, selector};
use crate::{
    addresses::{CONSENSUS_PORT, NETWORK_PORT},
    chain::API_PORT,
    keys, names,
    network::DOCUMENT,
    node_tier::validate::PodSettings,
    owned,
};
use k8s_openapi::{
    api::{
        apps::v1::{
            StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
        },
        core::v1::{
            Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, EnvVarSource, HTTPGetAction,
            KeyToPath, LocalObjectReference, ObjectFieldSelector, PersistentVolumeClaim, PersistentVolumeClaimSpec,
            PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ProjectedVolumeSource, ResourceRequirements,
            SeccompProfile, SecretProjection, SecurityContext, Toleration, TopologySpreadConstraint, Volume,
            VolumeMount, VolumeProjection, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use kube::ResourceExt;
use std::collections::BTreeMap;
use valo_crds::{ImagePullPolicy, NodeTier, ResourceAmounts, Role, TaintEffect, TolerationOperator};
use valo_protocol::{BlobHash, GenesisHash};

/// The annotation of pods with the hash of everything that they are restarted for.
pub const TEMPLATE: &str = "valo.network/template";
/// The name of the container, and of the claim of each pod.
const NODE: &str = "node";
const DATA: &str = "data";
/// The user that nodes run as.
const USER: i64 = 10_001;
/// Keys are listed in blocks of so many ordinals.
const BLOCK: i32 = 16;
/// The node takes at most 15 s to stop.
const GRACE: i64 = 30;

/// Builds it.
pub fn build(tier: &NodeTier, pods: &PodSettings, genesis: GenesisHash, replicas: i32) -> StatefulSet {
    let mut spec = pod_spec(tier, pods, genesis);
    if let Some(volumes) = &mut spec.volumes {
        volumes.push(keys_volume(tier, replicas));
    }
    let retention = if tier.spec.storage.retain { "Retain" } else { "Delete" };
    StatefulSet {
        metadata: owned::metadata(tier, tier.name_any(), labels(tier)),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas),
            service_name: Some(names::headless(&tier.name_any())),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            selector: LabelSelector { match_labels: Some(selector(tier)), match_expressions: None },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels(tier)),
                    annotations: Some([(TEMPLATE.to_owned(), template(tier, pods))].into()),
                    ..ObjectMeta::default()
                }),
                spec: Some(spec),
            },
            volume_claim_templates: Some(vec![claim(tier)]),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(retention.to_owned()),
                when_scaled: Some(retention.to_owned()),
            }),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// The hash of what users ask for. Not of the whole template: another release of the operator may build another one, and
/// restarts nobody with it.
pub fn template(tier: &NodeTier, pods: &PodSettings) -> String {
    let spec = &tier.spec;
    let asked = (&pods.image, &spec.resources, &spec.node_selector, &spec.tolerations);
    let mut text = serde_json::to_string(&asked).unwrap_or_default();
    // Added where it is said, so that the hash of all others holds still.
    if let Some(class) = &spec.runtime_class_name {
        text.push_str(&format!(" runtimeClass={class}"));
    }
    // Read once, when a node starts. Added where it is said, so that the hash of all others holds still.
    if let Some(guests) = pods.guests {
        text.push_str(&format!(" guests={guests}"));
    }
    BlobHash::of(text.as_bytes()).short()
}

/// As a pod has it.
fn toleration(asked: &valo_crds::Toleration) -> Toleration {
    let effect = asked.effect.map(|effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    });
    let operator = asked.operator.map(|operator| match operator {
        TolerationOperator::Exists => "Exists",
        TolerationOperator::Equal => "Equal",
    });
    Toleration {
        effect: effect.map(str::to_owned),
        key: asked.key.clone(),
        operator: operator.map(str::to_owned),
        toleration_seconds: asked.toleration_seconds,
        value: asked.value.clone(),
    }
}

fn pod_spec(tier: &NodeTier, pods: &PodSettings, genesis: GenesisHash) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            fs_group_change_policy: Some("OnRootMismatch".to_owned()),
            seccomp_profile: Some(seccomp()),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: some(
            pods.pull_secrets.iter().map(|name| LocalObjectReference { name: name.clone() }).collect(),
        ),
        node_selector: (!tier.spec.node_selector.is_empty()).then(|| tier.spec.node_selector.clone()),
        runtime_class_name: tier.spec.runtime_class_name.clone(),
        tolerations: some(tier.spec.tolerations.iter().map(toleration).collect()),
        topology_spread_constraints: Some(spread(tier)),
        volumes: Some(
            [
                Some(config_map_volume("config", config_map::name(tier))),
                (!pods.genesis_by_hash)
                    .then(|| config_map_volume("genesis", names::genesis(&tier.spec.network_ref.name))),
            ]
            .into_iter()
            .flatten()
            .collect(),
        ),
        containers: vec![container(tier, pods, genesis)],
        ..PodSpec::default()
    }
}

fn container(tier: &NodeTier, pods: &PodSettings, genesis: GenesisHash) -> Container {
    let mut arguments = vec!["run".to_owned()];
    let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    option("--home", "/data".to_owned());
    option("--config", format!("/etc/valo/{}", config_map::FILE));
    if !pods.genesis_by_hash {
        option("--genesis", format!("/etc/valo-genesis/{DOCUMENT}"));
    }
    option("--genesis-hash", genesis.to_string());
    option("--node-key", "/etc/valo-key/node.key".to_owned());
    option("--name", "$(POD_NAME)".to_owned());
    let mut mounts = vec![mount(DATA, "/data", None), mount("config", "/etc/valo", None)];
    if !pods.genesis_by_hash {
        mounts.push(mount("genesis", "/etc/valo-genesis", None));
    }
    mounts.push(mount("keys", "/etc/valo-key/node.key", Some("$(POD_NAME)")));
    Container {
        name: NODE.to_owned(),
        image: Some(pods.image.clone()),
        image_pull_policy: Some(
            match pods.pull_policy {
                ImagePullPolicy::Always => "Always",
                ImagePullPolicy::IfNotPresent => "IfNotPresent",
                ImagePullPolicy::Never => "Never",
            }
            .to_owned(),
        ),
        args: Some(arguments),
        env: Some(vec![EnvVar {
            name: "POD_NAME".to_owned(),
            value_from: Some(EnvVarSource {
                field_ref: Some(ObjectFieldSelector {
                    field_path: "metadata.name".to_owned(),
                    api_version: Some("v1".to_owned()),
                }),
                ..EnvVarSource::default()
            }),
            ..EnvVar::default()
        }]),
        ports: Some(vec![
            port("consensus", CONSENSUS_PORT, "TCP"),
            port("network", NETWORK_PORT, "UDP"),
            port("api", API_PORT, "TCP"),
        ]),
        volume_mounts: Some(mounts),
        resources: Some(resources(tier)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            seccomp_profile: Some(seccomp()),
            ..SecurityContext::default()
        }),
        startup_probe: Some(probe("/healthz", 2, 8, 90)),
        liveness_probe: Some(probe("/healthz", 10, 8, 3)),
        readiness_probe: Some(probe("/readyz", 2, 3, 2)),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn seccomp() -> SeccompProfile {
    SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn port(name: &str, number: u16, protocol: &str) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number.into(),
        protocol: Some(protocol.to_owned()),
        ..ContainerPort::default()
    }
}

fn mount(name: &str, path: &str, own: Option<&str>) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        sub_path_expr: own.map(str::to_owned),
        read_only: (name != DATA).then_some(true),
        ..VolumeMount::default()
    }
}

fn probe(path: &str, period: i32, timeout: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("api".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(timeout),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn resources(tier: &NodeTier) -> ResourceRequirements {
    ResourceRequirements {
        requests: tier.spec.resources.requests.as_ref().map(amounts),
        limits: tier.spec.resources.limits.as_ref().map(amounts),
        claims: None,
    }
}

fn amounts(amounts: &ResourceAmounts) -> BTreeMap<String, Quantity> {
    let cpu = amounts.cpu.map(|cpu| ("cpu".to_owned(), Quantity(cpu.to_string())));
    let memory = amounts.memory.map(|memory| ("memory".to_owned(), Quantity(memory.to_string())));
    cpu.into_iter().chain(memory).collect()
}

/// On as many machines as there are; validators on as many zones too.
fn spread(tier: &NodeTier) -> Vec<TopologySpreadConstraint> {
    let over = |topology: &str| TopologySpreadConstraint {
        max_skew: 1,
        topology_key: topology.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector { match_labels: Some(selector(tier)), match_expressions: None }),
        ..TopologySpreadConstraint::default()
    };
    match tier.spec.role {
        Role::Validator => vec![over("kubernetes.io/hostname"), over("topology.kubernetes.io/zone")],
        Role::Worker | Role::Full => vec![over("kubernetes.io/hostname")],
    }
}

fn config_map_volume(name: &str, config_map: String) -> Volume {
    Volume {
        name: name.to_owned(),
        config_map: Some(ConfigMapVolumeSource { name: config_map, ..ConfigMapVolumeSource::default() }),
        ..Volume::default()
    }
}

fn keys_volume(tier: &NodeTier, replicas: i32) -> Volume {
    let blocks = replicas.max(1).saturating_add(BLOCK - 1) / BLOCK;
    let sources = (0..blocks.saturating_mul(BLOCK)).map(|ordinal| VolumeProjection {
        secret: Some(SecretProjection {
            name: names::node_key(&tier.name_any(), ordinal),
            items: Some(vec![KeyToPath {
                key: keys::DATA_KEY.to_owned(),
                path: names::pod(&tier.name_any(), ordinal),
                mode: None,
            }]),
            optional: Some(true),
        }),
        ..VolumeProjection::default()
    });
    Volume {
        name: "keys".to_owned(),
        projected: Some(ProjectedVolumeSource { default_mode: Some(0o400), sources: Some(sources.collect()) }),
        ..Volume::default()
    }
}

fn claim(tier: &NodeTier) -> PersistentVolumeClaim {
    let storage = &tier.spec.storage;
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(DATA.to_owned()), labels: Some(labels(tier)), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), Quantity(storage.size.to_string()))].into()),
                limits: None,
            }),
            storage_class_name: storage.storage_class_name.clone(),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
