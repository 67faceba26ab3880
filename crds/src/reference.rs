//! The page of the documentation that lists every field of every kind, from the schemas.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value};
use std::fmt::Write;

const HEAD: &str = "\
# Custom resources

<!-- Generated from the types in crds/src by `make generate`. Changes are made there. -->

Group `valo.network`, version `v1alpha1`. `kubectl get valo` lists all of them. A field in **bold** must be given.
Unknown fields are errors: `kubectl` validates strictly unless told otherwise. Amounts of VALO are decimal strings;
durations are `90s`, `10m`, `24h`; sizes `64Mi`, `20Gi`; processor shares `\"1\"`, `500m`.
";

/// The page.
pub fn page(definitions: &[CustomResourceDefinition]) -> String {
    let mut page = HEAD.to_owned();
    for definition in definitions {
        // Writing to a string cannot fail.
        let _ = kind(&mut page, definition);
    }
    page
}

fn kind(page: &mut String, definition: &CustomResourceDefinition) -> std::fmt::Result {
    let names = &definition.spec.names;
    writeln!(page, "\n## {}\n", names.kind)?;
    let Some(version) = definition.spec.versions.first() else { return Ok(()) };
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let schema = serde_json::to_value(schema).unwrap_or_default();
    writeln!(page, "{}\n", text(&schema))?;
    let short = names.short_names.iter().flatten().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let scope = if definition.spec.scope == "Cluster" { "of the cluster" } else { "of a namespace" };
    writeln!(page, "`{}`, short {short}; {scope}.", names.plural)?;
    let columns = version.additional_printer_columns.iter().flatten().map(|column| column.name.to_uppercase());
    writeln!(page, "Columns: {}.", columns.collect::<Vec<_>>().join(", "))?;
    if version.subresources.as_ref().is_some_and(|subresources| subresources.scale.is_some()) {
        writeln!(page, "It has a `scale` subresource.")?;
    }
    let mut found = Found::default();
    for root in ["spec", "status"] {
        if let Some(schema) = schema.pointer(&format!("/properties/{root}")) {
            found.walk(root, schema);
        }
    }
    for rule in rules(&schema) {
        found.rules.push(rule);
    }
    for (root, title) in [("spec", "Specification"), ("status", "Status")] {
        let rows = found.rows.iter().filter(|row| row.path.split('.').next() == Some(root));
        let rows: Vec<&Row> = rows.collect();
        if rows.is_empty() {
            continue;
        }
        writeln!(
            page,
            "\n### {title} of {}\n\n| field | type | default | meaning |\n| --- | --- | --- | --- |",
            names.kind
        )?;
        for Row { path, required, kind, default, meaning } in rows {
            let path = if *required { format!("**`{path}`**") } else { format!("`{path}`") };
            writeln!(page, "| {path} | {kind} | {default} | {meaning} |")?;
        }
    }
    if !found.rules.is_empty() {
        writeln!(page, "\n### Rules of {}\n", names.kind)?;
        found.rules.sort();
        found.rules.dedup();
        for rule in &found.rules {
            writeln!(page, "- {rule}")?;
        }
    }
    Ok(())
}

/// A line of the table.
struct Row {
    path: String,
    required: bool,
    kind: String,
    default: String,
    meaning: String,
}

/// What a walk through a schema finds.
#[derive(Default)]
struct Found {
    rows: Vec<Row>,
    rules: Vec<String>,
}

impl Found {
    /// Lists the fields below a path, each followed by its own.
    fn walk(&mut self, path: &str, schema: &Value) {
        self.rules.extend(rules(schema));
        let none = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, property) in properties {
            let path = format!("{path}.{name}");
            let default = property.get("default").map(|default| format!("`{default}`")).unwrap_or_default();
            self.rows.push(Row {
                required: required.contains(&name.as_str()),
                kind: kind_of(property),
                default: cell(&default),
                meaning: cell(&text(property)),
                path: path.clone(),
            });
            self.walk(&path, property);
            let mut items = property;
            let mut path = path;
            while let Some(inner) = items.get("items") {
                path.push_str("[]");
                self.walk(&path, inner);
                items = inner;
            }
        }
    }
}

/// The type of a field in words, with its bounds.
fn kind_of(schema: &Value) -> String {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".to_owned();
    }
    let number = |name: &str| schema.get(name).and_then(Value::as_f64);
    match schema.get("type").and_then(Value::as_str).unwrap_or("any") {
        "array" => format!("list of {}", schema.get("items").map(kind_of).unwrap_or_default()),
        "object" if schema.get("additionalProperties").is_some() => "map of string".to_owned(),
        "string" if schema.get("format").and_then(Value::as_str) == Some("date-time") => "moment".to_owned(),
        "integer" => match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => format!("integer, {least} to {most}"),
            (Some(least), None) if least > 0.0 => format!("integer, at least {least}"),
            _ => "integer".to_owned(),
        },
        other => other.to_owned(),
    }
}

fn rules(schema: &Value) -> Vec<String> {
    let rules = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    let messages = rules.into_iter().flatten().filter_map(|rule| rule.get("message")?.as_str());
    messages.map(str::to_owned).collect()
}

fn text(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
