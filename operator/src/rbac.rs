//! What the operator may do, and nothing else: the source of `operator/rbac.yaml`, which the chart takes.

use k8s_openapi::{
    api::rbac::v1::{ClusterRole, PolicyRule, Role},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

/// A rule: API group, resources, verbs, and what for.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str], &'static str);

/// In all namespaces that it watches.
const EVERYWHERE: &[Rule] = &[
    (
        "valo.network",
        &["networks", "nodetiers", "wallets", "jobcontracts"],
        &["get", "list", "watch", "patch"],
        "reads what is asked for, and puts its finalizer on it",
    ),
    (
        "valo.network",
        &["networks/status", "nodetiers/status", "wallets/status", "jobcontracts/status", "shardgroups/status"],
        &["get", "patch"],
        "says what came of it",
    ),
    ("valo.network", &["wallets"], &["create"], "a Wallet for each node of a NodeTier with a walletTemplate"),
    (
        "valo.network",
        &["shardgroups"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "shows the sharding groups of the chain",
    ),
    (
        "valo.network",
        &["consensuskeyreservations"],
        &["get", "list", "create", "delete"],
        "one pod signs with a key; never changed, so neither patch nor update",
    ),
    (
        "",
        &["secrets"],
        &["get", "list", "watch", "create"],
        "keys: made once, read to sign and to name nodes; never changed, never deleted",
    ),
    (
        "",
        &["configmaps", "services"],
        &["get", "list", "watch", "create", "patch"],
        "genesis, configuration and results; names and addresses of nodes",
    ),
    ("", &["services", "configmaps"], &["delete"], "what is not asked for any more"),
    (
        "",
        &["pods"],
        &["get", "list", "watch", "delete"],
        "sees whether nodes are ready; replaces one by one what is outdated",
    ),
    ("apps", &["statefulsets"], &["get", "list", "watch", "create", "patch", "delete"], "the pods of nodes"),
    ("policy", &["poddisruptionbudgets"], &["get", "list", "watch", "create", "patch"], "what may be disrupted"),
    (
        "networking.k8s.io",
        &["networkpolicies", "ingresses"],
        &["get", "list", "watch", "create", "patch", "delete"],
        "who may talk to nodes",
    ),
    ("events.k8s.io", &["events"], &["create", "patch"], "tells what it did and why it could not"),
];

/// In its own namespace.
const AT_HOME: &[Rule] =
    &[("coordination.k8s.io", &["leases"], &["get", "create", "update"], "one of several replicas works at a time")];

fn rules(rules: &[Rule]) -> Vec<PolicyRule> {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let rule = |(group, resources, verbs, _): &Rule| PolicyRule {
        api_groups: Some(vec![(*group).to_owned()]),
        resources: Some(texts(resources)),
        verbs: texts(verbs),
        ..PolicyRule::default()
    };
    rules.iter().map(rule).collect()
}

/// The role in all namespaces.
pub fn cluster_role() -> ClusterRole {
    let metadata = ObjectMeta { name: Some("valo-operator".to_owned()), ..ObjectMeta::default() };
    ClusterRole { metadata, rules: Some(rules(EVERYWHERE)), aggregation_rule: None }
}

/// The role in the operator's namespace.
pub fn role() -> Role {
    let metadata = ObjectMeta { name: Some("valo-operator".to_owned()), ..ObjectMeta::default() };
    Role { metadata, rules: Some(rules(AT_HOME)) }
}

/// The table of the documentation: what for.
pub fn table() -> String {
    let mut table = "| group | resources | verbs | what for |\n| --- | --- | --- | --- |\n".to_owned();
    for (group, resources, verbs, what) in EVERYWHERE.iter().chain(AT_HOME) {
        let group = if group.is_empty() { "core" } else { group };
        table.push_str(&format!("| {group} | {} | {} | {what} |\n", resources.join(", "), verbs.join(", ")));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    const HEADER: &str = "# Generated from operator/src/rbac.rs: `make generate`.\n";

    #[test]
    fn the_committed_rules_are_these() {
        let [cluster, own] = [serde_yaml::to_string(&cluster_role()), serde_yaml::to_string(&role())];
        let text = format!("{HEADER}{}---\n{}", cluster.unwrap(), own.unwrap());
        // The chart cannot read what lies beside it.
        for file in ["rbac.yaml", "../charts/valo-operator/files/rbac.yaml"] {
            let file = Path::new(file);
            if std::env::var_os("VALO_UPDATE").is_some() {
                fs::write(file, &text).unwrap();
            }
            assert_eq!(fs::read_to_string(file).unwrap_or_default(), text, "{}", file.display());
        }
    }

    #[test]
    fn the_documentation_has_the_same_table() {
        let file = Path::new("../docs/operator.md");
        let page = fs::read_to_string(file).unwrap_or_default();
        assert!(page.contains(&table()), "docs/operator.md lacks:\n{}", table());
    }

    #[test]
    fn nothing_is_asked_for_that_would_be_too_much() {
        for (_, resources, verbs, _) in EVERYWHERE.iter().chain(AT_HOME) {
            assert!(!resources.contains(&"*") && !verbs.contains(&"*"));
            let changes = verbs.iter().any(|verb| matches!(*verb, "patch" | "update" | "delete"));
            assert!(
                !(changes && (resources.contains(&"secrets") || resources.contains(&"consensuskeyreservations")))
                    || (resources == &["consensuskeyreservations"] && !verbs.contains(&"patch"))
            );
        }
    }
}
