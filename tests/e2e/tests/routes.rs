//! Every route of the OpenAPI document, on a network that has computed something: asked well it answers, asked badly
//! it says why in a problem document. A route without a case here fails the test.

use anyhow::{Context, ensure};
use reqwest::{Method, StatusCode, header};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use valo_e2e::{Network, programs, repository};

/// What is asked of a route: its path filled in well, and filled in badly.
struct Case {
    good: Vec<String>,
    bad: Vec<String>,
}

/// What is on the network, to be asked for.
struct Known {
    account: String,
    transaction: String,
    blob: String,
    output: String,
}

/// For a route without anything to get wrong.
fn plain(path: &str) -> Case {
    Case { good: vec![path.to_owned()], bad: vec![format!("{path}/nothing")] }
}

/// For a list in pages.
fn list(path: &str) -> Case {
    let with = |query: &str| format!("{path}?{query}");
    Case { good: vec![path.to_owned(), with("limit=1")], bad: vec![with("limit=0"), with("limit=x"), with("limits=1")] }
}

/// For one thing of many.
fn item(good: &[&str], bad: &[&str]) -> Case {
    Case { good: good.iter().map(ToString::to_string).collect(), bad: bad.iter().map(ToString::to_string).collect() }
}

fn cases(known: &Known) -> BTreeMap<&'static str, Case> {
    let Known { account, transaction, blob, output } = known;
    let job = |rest: &str| {
        item(&[&format!("/v1/jobs/1{rest}")], &[&format!("/v1/jobs/77{rest}"), &format!("/v1/jobs/x{rest}")])
    };
    let none = "0".repeat(64);
    BTreeMap::from([
        ("get /healthz", plain("/healthz")),
        ("get /readyz", plain("/readyz")),
        ("get /metrics", plain("/metrics")),
        ("get /v1/status", plain("/v1/status")),
        ("get /v1/genesis", plain("/v1/genesis")),
        ("get /v1/params", plain("/v1/params")),
        ("get /v1/validators", plain("/v1/validators")),
        ("get /v1/tiers", plain("/v1/tiers")),
        ("get /v1/groups", plain("/v1/groups")),
        ("get /v1/worker/assignments", plain("/v1/worker/assignments")),
        ("get /v1/accounts", list("/v1/accounts")),
        ("get /v1/nodes", list("/v1/nodes")),
        ("get /v1/blocks", list("/v1/blocks")),
        ("get /v1/jobs", list("/v1/jobs")),
        ("get /v1/blobs", list("/v1/blobs")),
        (
            "get /v1/accounts/{account}",
            item(
                &[&format!("/v1/accounts/{account}")],
                &["/v1/accounts/ZZZZZZZZ", "/v1/accounts/u", &format!("/v1/accounts/{none}")],
            ),
        ),
        ("get /v1/nodes/{node}", item(&["/v1/nodes/1"], &["/v1/nodes/4000000000", "/v1/nodes/x", "/v1/nodes/-1"])),
        (
            "get /v1/nodes/{node}/assignments",
            item(&["/v1/nodes/1/assignments"], &["/v1/nodes/4000000000/assignments", "/v1/nodes/x/assignments"]),
        ),
        ("get /v1/blocks/{height}", item(&["/v1/blocks/1"], &["/v1/blocks/0", "/v1/blocks/99999999", "/v1/blocks/x"])),
        (
            "get /v1/blocks/{height}/header",
            item(
                &["/v1/blocks/1/header"],
                &["/v1/blocks/0/header", "/v1/blocks/99999999/header", "/v1/blocks/x/header"],
            ),
        ),
        ("get /v1/jobs/{job}", job("")),
        ("get /v1/jobs/{job}/contract", job("/contract")),
        ("get /v1/jobs/{job}/explain", job("/explain")),
        ("get /v1/jobs/{job}/proof", job("/proof")),
        ("get /v1/jobs/{job}/results", job("/results")),
        ("get /v1/jobs/{job}/shards", job("/shards")),
        (
            "get /v1/jobs/{job}/shards/{stage}/{shard}/logs",
            item(
                &["/v1/jobs/1/shards/0/0/logs"],
                &[
                    "/v1/jobs/1/shards/0/99/logs",
                    "/v1/jobs/1/shards/9/0/logs",
                    "/v1/jobs/77/shards/0/0/logs",
                    "/v1/jobs/1/shards/x/0/logs",
                ],
            ),
        ),
        (
            "get /v1/proofs/{table}/{index}",
            item(
                &["/v1/proofs/accounts/0"],
                &["/v1/proofs/accounts/99999999", "/v1/proofs/chairs/0", "/v1/proofs/accounts/x"],
            ),
        ),
        (
            "get /v1/transactions/{id}",
            item(
                &[&format!("/v1/transactions/{transaction}"), &format!("/v1/transactions/{transaction}?wait=10")],
                &[
                    &format!("/v1/transactions/{none}"),
                    "/v1/transactions/x",
                    &format!("/v1/transactions/{transaction}?wait=x"),
                ],
            ),
        ),
        // One that the node was given, and one that lies with the workers.
        (
            "get /v1/blobs/{hash}",
            item(
                &[&format!("/v1/blobs/{blob}"), &format!("/v1/blobs/{output}?nodes=1,2,3")],
                &[&format!("/v1/blobs/{none}"), "/v1/blobs/x", &format!("/v1/blobs/{blob}?nodes=x")],
            ),
        ),
        (
            "head /v1/blobs/{hash}",
            item(&[&format!("/v1/blobs/{blob}")], &[&format!("/v1/blobs/{none}"), "/v1/blobs/x"]),
        ),
        (
            "get /v1/events",
            item(
                &["/v1/events?after=0.0", "/v1/events?after=0.0&job=1&type=paid"],
                &["/v1/events?after=x", "/v1/events?type=nothing", "/v1/events?job=x", "/v1/events?account=x"],
            ),
        ),
        ("post /v1/blobs", plain("/v1/blobs")),
        ("post /v1/transactions", plain("/v1/transactions")),
    ])
}

#[test]
fn every_route_of_the_document_answers() -> anyhow::Result<()> {
    let network = Network::of_tiers(1, 3, "small")?;
    let job = programs::primes(&network, 2, "")?;
    network.succeed(&["job", "submit", &job, "--watch", "--yes"])?;
    let base = network.client("validator-0")?.endpoint().to_owned();
    let http = reqwest::Client::new();

    let document = repository().join("docs/reference/openapi.json");
    let document: Value = serde_json::from_str(&std::fs::read_to_string(document)?)?;
    let served: Value = network.ask(async { http.get(format!("{base}/openapi.json")).send().await?.json().await })?;
    ensure!(served["paths"] == document["paths"], "the node serves another document than the committed one");
    let paths = document["paths"].as_object().context("the document has no paths")?;
    let routes: BTreeSet<String> = paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().into_iter().flatten().map(move |(method, _)| format!("{method} {path}"))
        })
        .collect();

    let known = known(&network, &http, &base)?;
    let cases = cases(&known);
    let tested: BTreeSet<String> = cases.keys().map(ToString::to_string).collect();
    ensure!(
        routes == tested,
        "without a case: {:?}; not in the document: {:?}",
        routes.difference(&tested),
        tested.difference(&routes)
    );

    let mut failures = Vec::new();
    for (route, case) in &cases {
        let (method, path) = route.split_once(' ').context("a route without a method")?;
        let method = Method::from_bytes(method.to_uppercase().as_bytes())?;
        if method != Method::POST {
            for url in &case.good {
                failures.extend(network.ask(good(&http, &method, &format!("{base}{url}")))?);
            }
        }
        for url in &case.bad {
            failures.extend(network.ask(bad(http.request(method.clone(), format!("{base}{url}")), url))?);
        }
        // A method that the path does not have.
        let template = case.good.first().context("a case without a path")?;
        let template = template.split('?').next().unwrap_or_default();
        if !paths[path].get("delete").is_some_and(Value::is_object) {
            failures.extend(network.ask(bad(http.delete(format!("{base}{template}")), &format!("DELETE {template}")))?);
        }
    }
    let bytes = "application/octet-stream";
    for (what, body, kind) in [
        ("no transaction", Vec::new(), bytes),
        ("garbage", vec![0xff; 200], bytes),
        ("too many bytes", vec![0; 70_000], bytes),
        ("broken JSON", b"{".to_vec(), "application/json"),
        ("other JSON", b"{\"transaction\": []}".to_vec(), "application/json"),
        ("text", b"send 5".to_vec(), "text/plain"),
    ] {
        let request = http.post(format!("{base}/v1/transactions")).header(header::CONTENT_TYPE, kind).body(body);
        failures.extend(network.ask(bad(request, &format!("POST /v1/transactions with {what}")))?);
    }
    let request = http.post(format!("{base}/v1/blobs")).header(header::CONTENT_TYPE, "text/plain").body("some text");
    failures.extend(network.ask(bad(request, "POST /v1/blobs with text"))?);
    // Many at once: those that are garbage are refused one by one.
    let many = http.post(format!("{base}/v1/transactions")).json(&serde_json::json!({"transactions": ["00", "x"]}));
    let (status, answer): (_, Value) = network.ask(async {
        let response = many.send().await?;
        Ok::<_, reqwest::Error>((response.status(), response.json().await?))
    })?;
    let refused =
        answer["results"].as_array().is_some_and(|results| results.iter().all(|one| one["refused"].is_object()));
    ensure!(status.is_client_error() || refused, "{status}: {answer}");
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Names of things that are on the network.
fn known(network: &Network, http: &reqwest::Client, base: &str) -> anyhow::Result<Known> {
    let get = |path: String| -> anyhow::Result<Value> {
        Ok(network.ask(async { http.get(format!("{base}{path}")).send().await?.error_for_status()?.json().await })?)
    };
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned).with_context(|| format!("no text but {value}"));
    let account = text(&network.json(&["account", "show"])?["number"])?;
    let head = get("/v1/status".to_owned())?["height"].as_u64().context("no height")?;
    let mut transaction = None;
    for height in 1..=head {
        let block = get(format!("/v1/blocks/{height}"))?;
        if let Some(first) = block["transactions"].as_array().and_then(|list| list.first()) {
            transaction = Some(text(&first["id"])?);
            break;
        }
    }
    let request = http.post(format!("{base}/v1/blobs")).header(header::CONTENT_TYPE, "application/octet-stream");
    let (status, blob): (_, Value) = network.ask(async {
        let response = request.body("some bytes").send().await?;
        Ok::<_, reqwest::Error>((response.status(), response.json().await?))
    })?;
    ensure!(status == StatusCode::CREATED, "POST /v1/blobs gave {status}: {blob}");
    let results = get("/v1/jobs/1/results".to_owned())?;
    let output = text(&results["shards"][0]["answer"]["digest"])?;
    Ok(Known {
        account,
        transaction: transaction.context("no transaction in any block")?,
        blob: text(&blob["hash"])?,
        output,
    })
}

/// What is wrong with the answer to a good request.
async fn good(http: &reqwest::Client, method: &Method, url: &str) -> anyhow::Result<Option<String>> {
    let mut response = http.request(method.clone(), url).send().await?;
    let status = response.status();
    // A stream of events does not end; that it begins is what counts.
    let stream = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    let empty = match stream {
        true => response.chunk().await?.is_none_or(|chunk| chunk.is_empty()),
        false => response.bytes().await?.is_empty(),
    };
    let is_right = status.is_success() && (!empty || *method == Method::HEAD);
    Ok((!is_right).then(|| format!("{method} {url}: {status}, empty: {empty}")))
}

/// What is wrong with the answer to a bad request.
async fn bad(request: reqwest::RequestBuilder, what: &str) -> anyhow::Result<Option<String>> {
    let response = request.send().await.with_context(|| format!("{what} was not answered"))?;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(ToOwned::to_owned);
    let bytes = response.bytes().await?;
    let problem: Option<Value> = serde_json::from_slice(&bytes).ok();
    // An answer to HEAD has no body.
    let is_told = bytes.is_empty()
        || problem.as_ref().is_some_and(|problem| {
            problem["status"] == status.as_u16() && problem["detail"].as_str().is_some_and(|detail| !detail.is_empty())
        });
    let is_right = status.is_client_error() && kind.as_deref() == Some("application/problem+json") && is_told;
    Ok((!is_right).then(|| format!("{what}: {status}, {kind:?}, {}", String::from_utf8_lossy(&bytes))))
}
