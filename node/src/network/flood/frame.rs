//! The frames of `valo/flood/1`.
//!
//! ```text
//! frame = length (u32, little-endian) | items        1 <= length <= MAX_FRAME
//! items = { length (u32, little-endian) | bytes }    1 <= length <= MAX_ITEM, at least one item
//! ```
//!
//! A frame is read whole before it is looked at, so the limit on its length is what a peer can make
//! us hold; items are copied out of it, so that one kept item does not keep its whole frame.

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a frame after its length.
pub const MAX_FRAME: usize = 256 << 10;
/// Bytes of an item: the largest transaction.
pub const MAX_ITEM: usize = valo_protocol::transaction::MAX_TRANSACTION;
const LENGTH: usize = 4;

/// Why what a peer sent is no frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended or broke.
    #[error("cannot read from the peer: {0}")]
    Read(#[from] std::io::Error),
    /// The announced length is zero or above the limit.
    #[error("a frame of {length} bytes; 1 to {MAX_FRAME} are allowed")]
    FrameLength {
        /// As announced.
        length: usize,
    },
    /// An item is empty or above the limit.
    #[error("an item of {length} bytes; 1 to {MAX_ITEM} are allowed")]
    ItemLength {
        /// As announced.
        length: usize,
    },
    /// The last item goes on behind the end of the frame.
    #[error("a frame that ends in the middle of an item")]
    Truncated,
}

impl FrameError {
    /// Whether the peer broke the rules, rather than went away.
    pub fn is_violation(&self) -> bool {
        !matches!(self, Self::Read(_))
    }
}

/// Collects items until a frame is full.
#[derive(Debug)]
pub struct FrameBuilder {
    buffer: BytesMut,
}

impl FrameBuilder {
    /// An empty frame.
    pub fn new() -> Self {
        let mut buffer = BytesMut::with_capacity(4096);
        buffer.put_u32_le(0);
        Self { buffer }
    }

    /// Adds an item, or gives it back when the frame has no room for it.
    pub fn push(&mut self, item: Bytes) -> Result<(), Bytes> {
        let length = self.buffer.len().saturating_sub(LENGTH);
        if length + LENGTH + item.len() > MAX_FRAME {
            return Err(item);
        }
        // Bounded by MAX_FRAME, so it fits.
        self.buffer.put_u32_le(u32::try_from(item.len()).unwrap_or(u32::MAX));
        self.buffer.extend_from_slice(&item);
        Ok(())
    }

    /// The bytes to send; `None` when there are no items.
    pub fn finish(mut self) -> Option<Bytes> {
        let length = self.buffer.len().checked_sub(LENGTH)?;
        if length == 0 {
            return None;
        }
        let length = u32::try_from(length).ok()?;
        self.buffer.get_mut(..LENGTH)?.copy_from_slice(&length.to_le_bytes());
        Some(self.buffer.freeze())
    }
}

/// Reads one frame and takes it apart. `None`: the stream ended between frames.
pub async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Vec<Bytes>>, FrameError> {
    let mut length = [0; LENGTH];
    match stream.read(&mut length[..1]).await? {
        0 => return Ok(None),
        _ => stream.read_exact(&mut length[1..]).await?,
    };
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length == 0 || length > MAX_FRAME {
        return Err(FrameError::FrameLength { length });
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    split(&frame).map(Some)
}

fn split(mut frame: &[u8]) -> Result<Vec<Bytes>, FrameError> {
    let mut items = Vec::new();
    while !frame.is_empty() {
        let (length, rest) = frame.split_first_chunk::<LENGTH>().ok_or(FrameError::Truncated)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 || length > MAX_ITEM {
            return Err(FrameError::ItemLength { length });
        }
        let (item, rest) = rest.split_at_checked(length).ok_or(FrameError::Truncated)?;
        items.push(Bytes::copy_from_slice(item));
        frame = rest;
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read(bytes: &[u8]) -> Result<Option<Vec<Bytes>>, FrameError> {
        read_frame(&mut &*bytes).await
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..50)) {
            let items: Vec<Bytes> = items.into_iter().map(Bytes::from).collect();
            let mut builder = FrameBuilder::new();
            for item in &items {
                builder.push(item.clone()).unwrap();
            }
            let frame = builder.finish().unwrap();
            prop_assert_eq!(block_on(read(&frame)).unwrap().unwrap(), items);
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = block_on(read(&bytes));
            let _ = split(&bytes);
        }

        /// What is taken from a damaged frame is what its bytes say: written again it is the same frame.
        #[test]
        fn a_damaged_frame_is_another_frame_or_an_error(bytes in valo_mutation::damaged(frames())) {
            if let Ok(Some(items)) = block_on(read(&bytes)) {
                let mut builder = FrameBuilder::new();
                for item in items {
                    prop_assert!(!item.is_empty() && item.len() <= MAX_ITEM);
                    builder.push(item).unwrap();
                }
                let frame = builder.finish().unwrap();
                prop_assert_eq!(&frame[..], &bytes[..frame.len()]);
            }
        }
    }

    fn frames() -> Vec<Vec<u8>> {
        let frame = |items: &[usize]| {
            let mut builder = FrameBuilder::new();
            for length in items {
                builder.push(Bytes::from(vec![7; *length])).unwrap();
            }
            builder.finish().unwrap().to_vec()
        };
        vec![frame(&[1]), frame(&[90, 3, 200]), frame(&[300; 20])]
    }

    #[tokio::test]
    async fn limits_are_enforced_before_memory_is_taken() {
        let huge = u32::MAX.to_le_bytes();
        assert!(matches!(read(&huge).await, Err(FrameError::FrameLength { .. })));
        assert!(matches!(read(&[0; 4]).await, Err(FrameError::FrameLength { length: 0 })));
        let mut frame = 8u32.to_le_bytes().to_vec();
        frame.extend(u32::try_from(MAX_ITEM + 1).unwrap().to_le_bytes());
        frame.extend([0; 4]);
        assert!(matches!(read(&frame).await, Err(FrameError::ItemLength { .. })));
    }

    #[test]
    fn a_full_frame_gives_the_item_back() {
        let mut builder = FrameBuilder::new();
        let item = Bytes::from(vec![1; MAX_ITEM]);
        let mut pushed = 0;
        while builder.push(item.clone()).is_ok() {
            pushed += 1;
        }
        assert_eq!(pushed, MAX_FRAME / (MAX_ITEM + LENGTH));
        assert!(builder.finish().unwrap().len() <= MAX_FRAME + LENGTH);
    }
}
