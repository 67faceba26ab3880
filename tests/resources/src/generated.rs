//! What is committed is what the types give.

use std::{fs, path::Path};

#[test]
fn committed_files_are_what_the_types_give() {
    let root = Path::new("../..");
    let files = valo_crds::generated().unwrap();
    for (path, content) in &files {
        let committed = fs::read_to_string(root.join(path)).unwrap_or_default();
        assert!(committed == *content, "{path} is not what the types give: make generate");
    }
    for folder in ["crds/manifests", "charts/valo-crds/templates"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
            let is_kind = files.iter().any(|(path, _)| *path == name);
            assert!(is_kind || name.ends_with("NOTES.txt"), "{name} is of no kind: remove it");
        }
    }
}

#[test]
fn every_field_has_a_description() {
    fn walk(path: &str, schema: &serde_json::Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(property["description"].is_string(), "{path} has no description");
            walk(&path, property);
            walk(&path, &property["items"]);
        }
    }
    for definition in valo_crds::all() {
        let schema = definition.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
        let schema = serde_json::to_value(schema).unwrap();
        let kind = &definition.spec.names.kind;
        assert!(schema["description"].is_string(), "{kind}");
        walk(&format!("{kind}.spec"), &schema["properties"]["spec"]);
        walk(&format!("{kind}.status"), &schema["properties"]["status"]);
    }
}

#[test]
fn every_kind_has_what_people_expect() {
    for definition in valo_crds::all() {
        let kind = &definition.spec.names.kind;
        assert_eq!(definition.spec.group, valo_crds::GROUP);
        assert_eq!(definition.spec.versions[0].name, valo_crds::VERSION);
        assert_eq!(definition.spec.names.categories, Some(vec!["valo".to_owned()]), "{kind}");
        assert!(definition.spec.names.short_names.is_some(), "{kind}");
        assert!(definition.spec.versions[0].additional_printer_columns.is_some(), "{kind}");
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        let status = &schema["openAPIV3Schema"]["properties"]["status"]["properties"];
        if status.is_object() {
            assert!(status["observedGeneration"].is_object(), "{kind}");
            assert!(status["conditions"]["items"]["properties"]["observedGeneration"].is_object(), "{kind}");
        }
    }
}

/// The API server prices every rule by how long its texts and lists can be, and refuses a definition that is too dear.
#[test]
fn names_that_rules_compare_in_lists_are_bounded() {
    for (kind, path) in
        [("Network", "/spec/properties/chain/properties/tiers"), ("JobContract", "/spec/properties/stages")]
    {
        let definition = valo_crds::all().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
        let schema = serde_json::to_value(&definition.spec.versions[0].schema).unwrap();
        let list = schema.pointer(&format!("/openAPIV3Schema/properties{path}")).unwrap();
        assert!(list["maxItems"].is_number(), "{kind}");
        assert_eq!(list["items"]["properties"]["name"]["maxLength"], 32, "{kind}");
    }
}
