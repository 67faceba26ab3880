//! Directory listings: `.`, `..`, then the names in byte order.
//!
//! A cookie is the number of entries before it. A reader that goes on where it stopped is served
//! from the name after the last one it got, so removing entries while listing skips none.

use std::{ops::Bound, sync::Arc};

use super::tree::{NodeId, Status, Tree};
use crate::wasi::abi::Errno;

/// Where a reader stands: after how many entries, and after which name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) cookie: u64,
    pub(crate) name: Arc<str>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: Arc<str>,
    pub(crate) status: Status,
    /// The cookie of the entry after this one.
    pub(crate) next: u64,
}

/// `.` and `..`
const DOTS: u64 = 2;

impl Tree {
    /// The entries of a directory from `cookie` on, as long as `take` wants more.
    pub(crate) fn list(
        &self,
        directory: NodeId,
        cookie: u64,
        cursor: Option<&Cursor>,
        mut take: impl FnMut(Entry) -> bool,
    ) -> Result<(), Errno> {
        let children = self.children(directory).ok_or(Errno::NotDirectory)?;
        let own = self.status(directory)?;
        let above = self.parent(directory).and_then(|parent| self.status(parent)).unwrap_or(own);
        for (number, (name, status)) in [(".", own), ("..", above)].into_iter().enumerate() {
            let next = number as u64 + 1;
            if cookie < next && !take(Entry { name: Arc::from(name), status, next }) {
                return Ok(());
            }
        }
        let mut next = cookie.max(DOTS);
        let resumed = cursor.filter(|cursor| cursor.cookie == cookie && cookie > DOTS);
        let (start, skip) = match resumed {
            Some(cursor) => (Bound::Excluded(&*cursor.name), 0),
            None => (Bound::Unbounded, usize::try_from(next - DOTS).map_err(|_| Errno::Invalid)?),
        };
        for (name, child) in children.range::<str, _>((start, Bound::Unbounded)).skip(skip) {
            next = next.saturating_add(1);
            if !take(Entry { name: name.clone(), status: self.status(*child)?, next }) {
                return Ok(());
            }
        }
        Ok(())
    }
}
