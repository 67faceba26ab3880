//! The OpenAPI document: generated from the routes and the types, completed with what holds for all of them.

use super::routes;
use utoipa::{
    OpenApi, ToSchema,
    openapi::{
        Content, OpenApi as Document, Ref, ResponseBuilder,
        path::{Operation, PathItem},
    },
};
use valo_client::types::{PROBLEM_CONTENT_TYPE, Problem};
use valo_protocol::vote::VoteKind;

/// What the document says of the API as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Valo node",
        description = "The HTTP API of a node. Amounts are VALO as decimal strings; hashes, keys and account numbers are strings. All times are milliseconds since the Unix epoch, all spans milliseconds. Lists come in pages: ask with `from` and `limit`, go on with `next`. Errors are problem documents (RFC 9457) with a stable `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    // Votes in evidence are in tuples, whose parts do not register what they refer to.
    components(schemas(Problem, VoteKind)),
    tags(
        (name = "chain", description = "Status, parameters, blocks, proofs"),
        (name = "transactions", description = "Submitting transactions and learning what became of them"),
        (name = "registry", description = "Accounts, validators, nodes, tiers, groups"),
        (name = "jobs", description = "Jobs, their shards, results and stories"),
        (name = "blobs", description = "Contents named by their blake3 hash"),
        (name = "events", description = "What happens, as it happens"),
        (name = "node", description = "This node: its work, health and metrics"),
    )
)]
struct Info;

/// The document, as served at `/openapi.json`.
pub fn document() -> Document {
    let mut document = routes::documented().split_for_parts().1;
    let info = Info::openapi();
    document.info = info.info;
    document.tags = info.tags;
    if let (Some(all), Some(own)) = (&mut document.components, info.components) {
        all.schemas.extend(own.schemas);
    }
    for path in document.paths.paths.values_mut() {
        for operation in operations(path) {
            add_problem(operation);
        }
    }
    document
}

/// The operations of a path.
pub(super) fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut path.get, &mut path.head, &mut path.post, &mut path.put, &mut path.delete].into_iter().flatten()
}

/// Every operation may answer with a problem document.
fn add_problem(operation: &mut Operation) {
    let content = Content::builder().schema(Some(Ref::from_schema_name(Problem::name()))).build();
    let response = ResponseBuilder::new().description("a problem document").content(PROBLEM_CONTENT_TYPE, content);
    operation.responses.responses.insert("default".to_owned(), response.build().into());
}
