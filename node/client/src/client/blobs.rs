//! Blobs: uploaded and downloaded as streams; what is downloaded is held against its name.

use super::{Client, Query, page_query};
use crate::{
    error::ClientError,
    types::{BlobInfo, BlobList, PageRequest},
};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream::BoxStream};
use reqwest::{Method, header};
use std::{
    fmt,
    ops::Range,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, ReadBuf},
    sync::oneshot,
};
use tokio_util::io::ReaderStream;
use valo_protocol::{BlobHash, job::MAX_BLOB, registry::NodeId};

impl Client {
    /// Uploads bytes.
    pub async fn upload_bytes(&self, contents: impl Into<Bytes>) -> Result<BlobInfo, ClientError> {
        let contents: Bytes = contents.into();
        let expected = BlobHash::of(&contents);
        let size = contents.len().try_into().unwrap_or(u64::MAX);
        let info = self.post_blob(contents.into(), Some(size)).await?;
        check(expected, info.hash)?;
        Ok(info)
    }

    /// Uploads a file as a stream. `progress` is told the bytes sent so far.
    pub async fn upload_file(
        &self,
        path: &Path,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<BlobInfo, ClientError> {
        let failed = |source| ClientError::File { path: path.display().to_string(), source };
        let size = tokio::fs::metadata(path).await.map_err(failed)?.len();
        self.upload_range(path, 0..size, progress).await
    }

    /// Uploads a part of a file as a blob of its own, as a stream. `progress` is told the bytes sent so far.
    pub async fn upload_range(
        &self,
        path: &Path,
        range: Range<u64>,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<BlobInfo, ClientError> {
        let failed = |source| ClientError::File { path: path.display().to_string(), source };
        let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
        file.seek(std::io::SeekFrom::Start(range.start)).await.map_err(failed)?;
        let size = range.end.saturating_sub(range.start);
        let (body, hash) = watched(file.take(size), progress);
        let info = self.post_blob(body, Some(size)).await?;
        if let Ok(expected) = hash.await {
            check(expected, info.hash)?;
        }
        Ok(info)
    }

    /// Uploads what a reader gives, as a stream whose length nobody knows before its end. `what` names it in errors.
    pub async fn upload_reader(
        &self,
        what: &str,
        reader: impl AsyncRead + Send + 'static,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> Result<BlobInfo, ClientError> {
        let exceeded = Arc::new(AtomicBool::new(false));
        let reader = AtMost { reader: Box::pin(reader), left: MAX_BLOB, exceeded: exceeded.clone() };
        let (body, hash) = watched(reader, progress);
        let answer = self.post_blob(body, None).await;
        if exceeded.load(Ordering::Relaxed) {
            return Err(ClientError::UploadTooLarge { what: what.to_owned(), max: MAX_BLOB });
        }
        let info = answer?;
        if let Ok(expected) = hash.await {
            check(expected, info.hash)?;
        }
        Ok(info)
    }

    async fn post_blob(&self, body: reqwest::Body, size: Option<u64>) -> Result<BlobInfo, ClientError> {
        let request = self
            .request(Method::POST, "v1/blobs", &Query::new())?
            .header(header::CONTENT_TYPE, "application/octet-stream");
        let request = match size {
            Some(size) => request.header(header::CONTENT_LENGTH, size),
            None => request,
        };
        self.json(request.body(body)).await
    }

    /// Whether the node itself holds a blob, and how long it is.
    pub async fn blob_info(&self, hash: BlobHash) -> Result<Option<BlobInfo>, ClientError> {
        let request = self.request(Method::HEAD, &format!("v1/blobs/{hash}"), &Query::new())?;
        match self.send(request).await {
            Ok(response) => {
                let length = response.headers().get(header::CONTENT_LENGTH);
                let size = length.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
                Ok(Some(BlobInfo { hash, size: size.ok_or_else(|| no_length(hash))? }))
            }
            Err(ClientError::NotANode { status: 404, .. }) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A blob that the node holds or, while it is asked, gets from others; how long it is. None if no node gives it.
    pub async fn find_blob(&self, hash: BlobHash) -> Result<Option<BlobInfo>, ClientError> {
        if let Some(info) = self.blob_info(hash).await? {
            return Ok(Some(info));
        }
        // The node answers when it has all of it; the bytes themselves are of no use here.
        match self.download(hash).await {
            Ok(stream) => Ok(Some(BlobInfo { hash, size: stream.size().ok_or_else(|| no_length(hash))? })),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The blobs that the node holds.
    pub async fn blobs(&self, page: &PageRequest) -> Result<BlobList, ClientError> {
        self.get("v1/blobs", &page_query(page)).await
    }

    /// Downloads a blob as a stream. The node fetches it from others if it does not hold it. The stream
    /// ends with an error when the bytes are not those of the name.
    pub async fn download(&self, hash: BlobHash) -> Result<BlobStream, ClientError> {
        self.download_from(hash, &[]).await
    }

    /// The same, naming nodes that should have it: the node asks those first.
    pub async fn download_from(&self, hash: BlobHash, holders: &[NodeId]) -> Result<BlobStream, ClientError> {
        let mut query = Query::new();
        if !holders.is_empty() {
            let nodes: Vec<String> = holders.iter().map(NodeId::to_string).collect();
            query.push(("nodes", nodes.join(",")));
        }
        let request = self.request(Method::GET, &format!("v1/blobs/{hash}"), &query)?;
        let response = self.send(request).await?;
        let size = response.content_length();
        let client = self.clone();
        let chunks = response.bytes_stream().map(move |chunk| chunk.map_err(|error| client.transport(&error)));
        Ok(BlobStream { size, expected: hash, hasher: Some(blake3::Hasher::new()), chunks: chunks.boxed() })
    }

    /// Downloads a blob of at most `max` bytes into memory.
    pub async fn download_bytes(&self, hash: BlobHash, holders: &[NodeId], max: u64) -> Result<Bytes, ClientError> {
        let mut stream = self.download_from(hash, holders).await?;
        let mut contents = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk?;
            if u64::try_from(contents.len().saturating_add(chunk.len())).map_or(true, |length| length > max) {
                return Err(ClientError::BlobTooLarge { hash, max });
            }
            contents.extend_from_slice(&chunk);
        }
        Ok(contents.into())
    }

    /// Downloads a blob into a file, which appears under its name only when all of it is there and right.
    /// `progress` is told the bytes received so far. Returns the length.
    pub async fn download_file(
        &self,
        hash: BlobHash,
        holders: &[NodeId],
        path: &Path,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<u64, ClientError> {
        let failed = |source| ClientError::File { path: path.display().to_string(), source };
        let mut stream = self.download_from(hash, holders).await?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", hash.short()));
        let partial = path.with_file_name(name);
        let mut file = tokio::fs::File::create(&partial).await.map_err(failed)?;
        let mut received = 0u64;
        let copied = async {
            while let Some(chunk) = stream.next().await {
                let chunk = chunk?;
                file.write_all(&chunk).await.map_err(failed)?;
                received = received.saturating_add(chunk.len().try_into().unwrap_or(u64::MAX));
                progress(received);
            }
            file.flush().await.map_err(failed)
        };
        let copied = copied.await;
        if let Err(error) = copied {
            let _ = tokio::fs::remove_file(&partial).await;
            return Err(error);
        }
        tokio::fs::rename(&partial, path).await.map_err(failed)?;
        Ok(received)
    }
}

fn no_length(hash: BlobHash) -> ClientError {
    ClientError::Malformed { what: format!("blob {hash}"), reason: "it says no length".to_owned() }
}

/// A reader as the body of a request. The hash of its bytes is told when they end; an upload that breaks off never
/// tells it. `progress` is told the bytes sent so far.
fn watched(
    reader: impl AsyncRead + Send + 'static,
    mut progress: impl FnMut(u64) + Send + 'static,
) -> (reqwest::Body, oneshot::Receiver<BlobHash>) {
    let (finished, hash) = oneshot::channel();
    let mut state = Some((blake3::Hasher::new(), finished));
    let mut sent = 0u64;
    let stream = ReaderStream::with_capacity(reader, 128 * 1024);
    let watched = stream.map(Some).chain(futures::stream::once(async { None })).filter_map(move |chunk| {
        match &chunk {
            Some(Ok(bytes)) => {
                if let Some((hasher, _)) = &mut state {
                    hasher.update(bytes);
                }
                sent = sent.saturating_add(bytes.len().try_into().unwrap_or(u64::MAX));
                progress(sent);
            }
            Some(Err(_)) => state = None,
            None => {
                if let Some((hasher, finished)) = state.take() {
                    let _ = finished.send(BlobHash::from(hasher.finalize()));
                }
            }
        }
        std::future::ready(chunk)
    });
    (reqwest::Body::wrap_stream(watched), hash)
}

/// A reader that fails once it has given more bytes than it may: the body breaks off, and the node keeps nothing.
struct AtMost<R> {
    reader: Pin<Box<R>>,
    left: u64,
    exceeded: Arc<AtomicBool>,
}

impl<R: AsyncRead> AsyncRead for AtMost<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(self.reader.as_mut().poll_read(context, buffer))?;
        let read = u64::try_from(buffer.filled().len().saturating_sub(before)).unwrap_or(u64::MAX);
        match self.left.checked_sub(read) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Ok(()))
            }
            None => {
                self.exceeded.store(true, Ordering::Relaxed);
                // Who fails has read nothing.
                buffer.set_filled(before);
                Poll::Ready(Err(std::io::ErrorKind::FileTooLarge.into()))
            }
        }
    }
}

fn check(expected: BlobHash, found: BlobHash) -> Result<(), ClientError> {
    if expected == found { Ok(()) } else { Err(ClientError::WrongBlob { expected, found }) }
}

/// The bytes of a blob as they come. The last item is an error when they are not the right ones.
pub struct BlobStream {
    size: Option<u64>,
    expected: BlobHash,
    hasher: Option<blake3::Hasher>,
    chunks: BoxStream<'static, Result<Bytes, ClientError>>,
}

impl BlobStream {
    /// The length in bytes, as the node says it.
    pub fn size(&self) -> Option<u64> {
        self.size
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BlobStream({})", self.expected)
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.hasher.is_none() {
            return Poll::Ready(None);
        }
        match self.chunks.poll_next_unpin(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(chunk))) => {
                if let Some(hasher) = &mut self.hasher {
                    hasher.update(&chunk);
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.hasher = None;
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                let found = self.hasher.take().map(|hasher| BlobHash::from(hasher.finalize()));
                match found {
                    Some(found) if found != self.expected => {
                        Poll::Ready(Some(Err(ClientError::WrongBlob { expected: self.expected, found })))
                    }
                    _ => Poll::Ready(None),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_without_end_is_cut_off() {
        let read = async |length: u64| {
            let exceeded = Arc::new(AtomicBool::new(false));
            let reader = Box::pin(tokio::io::repeat(0).take(length));
            let mut bytes = Vec::new();
            let result = AtMost { reader, left: 1000, exceeded: exceeded.clone() }.read_to_end(&mut bytes).await;
            (result.is_ok(), exceeded.load(Ordering::Relaxed))
        };
        assert_eq!(read(1000).await, (true, false));
        assert_eq!(read(1001).await, (false, true));
        assert_eq!(read(u64::MAX).await, (false, true));
    }
}
