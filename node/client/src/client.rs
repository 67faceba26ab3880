//! The client: one address, one connection pool, a method for each route.

mod blobs;
mod chain;
mod events;
mod jobs;
mod registry;
mod transactions;

pub use blobs::BlobStream;
pub use events::EventStream;

use crate::{
    error::{ClientError, innermost},
    types::{PROBLEM_CONTENT_TYPE, PageRequest, Problem},
};
use reqwest::{Method, RequestBuilder, Response, Url, header};
use serde::de::DeserializeOwned;
use std::{sync::Once, time::Duration};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a node may send nothing: longer than its longest wait, and than its keep-alive on event streams.
const SILENCE: Duration = Duration::from_secs(60);
/// The most bytes of an answer that is read as a whole.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// A connection to the API of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    endpoint: Url,
}

/// Query parameters that are there or not.
pub(crate) type Query = Vec<(&'static str, String)>;

impl Client {
    /// A client for the node at `endpoint`, such as `http://127.0.0.1:8080`. Nothing is sent yet.
    pub fn new(endpoint: &str) -> Result<Self, ClientError> {
        let refuse = |reason: String| ClientError::Endpoint { endpoint: endpoint.to_owned(), reason };
        let mut url = Url::parse(endpoint).map_err(|error| refuse(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refuse("it is neither http nor https".to_owned()));
        }
        if url.cannot_be_a_base() || url.host_str().is_none() {
            return Err(refuse("it names no host".to_owned()));
        }
        // A base path is kept, so that a node can be reached behind a proxy.
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        install_ring();
        let http = reqwest::Client::builder()
            .user_agent(concat!("valo-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| ClientError::Setup(innermost(&error)))?;
        Ok(Self { http, endpoint: url })
    }

    /// The address of the node.
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str().trim_end_matches('/')
    }

    pub(crate) fn request(&self, method: Method, path: &str, query: &Query) -> Result<RequestBuilder, ClientError> {
        let mut url = self.endpoint.join(path).map_err(|error| ClientError::Endpoint {
            endpoint: format!("{}{path}", self.endpoint),
            reason: error.to_string(),
        })?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.http.request(method, url))
    }

    /// Sends a request; an answer that is no success is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.transport(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.problem(response).await)
    }

    async fn problem(&self, response: Response) -> ClientError {
        let status = response.status().as_u16();
        let not_a_node = ClientError::NotANode { endpoint: self.endpoint().to_owned(), status };
        let is_problem = response
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.starts_with(PROBLEM_CONTENT_TYPE));
        // An answer to HEAD has no body: its status is all there is.
        if !is_problem {
            return not_a_node;
        }
        match self.read(response).await {
            Ok(bytes) if bytes.is_empty() => ClientError::Problem(Box::new(Problem {
                kind: "about:blank".to_owned(),
                title: "no details".to_owned(),
                status,
                detail: format!("the node answered with HTTP status {status}"),
                code: if status == 404 { "notFound" } else { "unknown" }.to_owned(),
                reason: None,
            })),
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(problem) => ClientError::Problem(Box::new(problem)),
                Err(_) => not_a_node,
            },
            Err(error) => error,
        }
    }

    /// Reads an answer as a whole, within bounds.
    pub(crate) async fn read(&self, mut response: Response) -> Result<Vec<u8>, ClientError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(&error))? {
            if bytes.len().saturating_add(chunk.len()) > MAX_ANSWER {
                return Err(ClientError::Malformed {
                    what: response.url().path().to_owned(),
                    reason: format!("it has more than {MAX_ANSWER} bytes"),
                });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    pub(crate) async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request).await?;
        let what = response.url().path().to_owned();
        let bytes = self.read(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Malformed { what, reason: error.to_string() })
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, query: &Query) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, path, query)?).await
    }

    /// Asks for the canonical bytes of something that also has a JSON form.
    pub(crate) async fn bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        let request =
            self.request(Method::GET, path, &Query::new())?.header(header::ACCEPT, "application/octet-stream");
        let response = self.send(request).await?;
        self.read(response).await
    }

    pub(crate) fn transport(&self, error: &reqwest::Error) -> ClientError {
        let endpoint = self.endpoint().to_owned();
        if error.is_timeout() {
            return ClientError::Timeout { endpoint };
        }
        let reason = innermost(error);
        // What is no TLS is a message of an unknown kind to it.
        let reason = match self.endpoint.scheme() == "https" && reason.contains("corrupt message") {
            true => "what answers there does not speak TLS; write the address with http://".to_owned(),
            false => reason,
        };
        ClientError::Connection { endpoint, reason }
    }
}

/// The query of a page.
pub(crate) fn page_query(page: &PageRequest) -> Query {
    let mut query = Query::new();
    if let Some(from) = &page.from {
        query.push(("from", from.clone()));
    }
    if let Some(limit) = page.limit {
        query.push(("limit", limit.to_string()));
    }
    query
}

/// TLS needs one process-wide provider of cryptography. Whoever comes first installs it.
fn install_ring() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that the program has chosen another provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
