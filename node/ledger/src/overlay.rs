//! The writes of a block over the finalized state below: reads see both, and an action that fails is undone.

use crate::store::{Changes, Row, Store, StoreError, Table};

/// Writes over a store. [`Store`] itself, so that whatever reads state reads it with the block's writes.
pub struct Overlay<'a> {
    base: &'a dyn Store,
    written: Changes,
    /// While an action runs: what each write replaced, to be put back in reverse.
    journal: Option<Vec<Undo>>,
}

struct Undo {
    table: Table,
    key: Vec<u8>,
    before: Option<Option<Vec<u8>>>,
}

impl std::fmt::Debug for Overlay<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Overlay").field("written", &self.written.len()).finish_non_exhaustive()
    }
}

impl<'a> Overlay<'a> {
    /// No writes yet over `base`.
    pub fn new(base: &'a dyn Store) -> Self {
        Self { base, written: Changes::default(), journal: None }
    }

    /// Sets the value of a key.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: Vec<u8>) {
        self.write(table, key.into(), Some(value));
    }

    /// Deletes a key.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.write(table, key.into(), None);
    }

    fn write(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        match &mut self.journal {
            None => {
                self.written.insert(table, key, value);
            }
            Some(journal) => {
                let before = self.written.insert(table, key.clone(), value);
                journal.push(Undo { table, key, before });
            }
        }
    }

    /// From here on writes can be undone. There is one such point at a time.
    pub(crate) fn begin(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// Keeps what was written since [`Self::begin`].
    pub(crate) fn keep(&mut self) {
        self.journal = None;
    }

    /// Undoes what was written since [`Self::begin`].
    pub(crate) fn undo(&mut self) {
        for Undo { table, key, before } in self.journal.take().into_iter().flatten().rev() {
            match before {
                Some(value) => {
                    self.written.insert(table, key, value);
                }
                None => self.written.forget(table, &key),
            }
        }
    }

    /// What was written so far.
    pub fn written(&self) -> &Changes {
        &self.written
    }

    /// What was written.
    pub fn into_changes(self) -> Changes {
        self.written
    }
}

impl Store for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.written.get(table, key) {
            Some(value) => Ok(value.map(<[u8]>::to_vec)),
            None => self.base.get(table, key),
        }
    }

    fn scan(&self, table: Table, from: &[u8], limit: usize) -> Result<Vec<Row>, StoreError> {
        let Some(written) = self.written.table(table).filter(|written| !written.is_empty()) else {
            return self.base.scan(table, from, limit);
        };
        let mut rows = Vec::new();
        let mut from = from.to_vec();
        // Deleted rows of the base take places of a page, so another page may be called for.
        while rows.len() < limit {
            let wanted = limit.saturating_sub(rows.len());
            let page = self.base.scan(table, &from, wanted)?;
            let is_last = page.len() < wanted;
            // Beyond the page's last key the base may hold rows that were not read yet.
            let end = page.last().map(|(key, _)| key.clone()).filter(|_| !is_last);
            let mut base = page.into_iter().peekable();
            let mut over = written
                .range(from.clone()..)
                .take_while(|(key, _)| end.as_ref().is_none_or(|end| *key <= end))
                .peekable();
            while rows.len() < limit {
                let base_first = match (base.peek(), over.peek()) {
                    (None, None) => break,
                    (Some((key, _)), Some((other, _))) => key < *other,
                    (Some(_), None) => true,
                    (None, Some(_)) => false,
                };
                if base_first {
                    rows.extend(base.next());
                } else if let Some((key, value)) = over.next() {
                    base.next_if(|(other, _)| other == key);
                    rows.extend(value.as_ref().map(|value| (key.clone(), value.clone())));
                }
            }
            match end {
                // The smallest key above `end`.
                Some(end) => from = [end.as_slice(), &[0]].concat(),
                None => break,
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use proptest::prelude::*;

    type Writes = Vec<(u8, Option<u8>)>;

    fn writes() -> impl Strategy<Value = Writes> {
        proptest::collection::vec((0u8..24, proptest::option::of(any::<u8>())), 0..40)
    }

    fn write(overlay: &mut Overlay<'_>, writes: &Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => overlay.put(Table::Draws, vec![*key], vec![*value]),
                None => overlay.delete(Table::Draws, vec![*key]),
            }
        }
    }

    fn all(store: &dyn Store) -> Vec<Row> {
        store.scan(Table::Draws, &[], usize::MAX).unwrap()
    }

    proptest! {
        #[test]
        fn reads_are_those_of_the_store_with_the_changes_applied(
            before in writes(), after in writes(), from in 0u8..25, limit in 0usize..30
        ) {
            let empty = MemoryStore::default();
            let mut overlay = Overlay::new(&empty);
            write(&mut overlay, &before);
            let mut base = MemoryStore::default();
            base.apply(&overlay.into_changes());

            let mut overlay = Overlay::new(&base);
            write(&mut overlay, &after);
            let mut expected = base.clone();
            expected.apply(overlay.written());
            prop_assert_eq!(
                overlay.scan(Table::Draws, &[from], limit).unwrap(),
                expected.scan(Table::Draws, &[from], limit).unwrap()
            );
            for key in 0..24u8 {
                prop_assert_eq!(overlay.get(Table::Draws, &[key]).unwrap(), expected.get(Table::Draws, &[key]).unwrap());
            }
        }

        #[test]
        fn undoing_leaves_what_was_there(before in writes(), failed in writes(), kept in writes()) {
            let empty = MemoryStore::default();
            let mut overlay = Overlay::new(&empty);
            write(&mut overlay, &before);
            let expected = overlay.written().clone();
            overlay.begin();
            write(&mut overlay, &failed);
            overlay.undo();
            prop_assert_eq!(all(&overlay), {
                let mut store = MemoryStore::default();
                store.apply(&expected);
                all(&store)
            });
            overlay.begin();
            write(&mut overlay, &kept);
            overlay.keep();
            let mut plain = Overlay::new(&empty);
            write(&mut plain, &before);
            write(&mut plain, &kept);
            prop_assert_eq!(all(&overlay), all(&plain));
        }
    }
}
