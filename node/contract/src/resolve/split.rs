//! Splitting one file into shards: ranges of bytes that cover the file exactly, in order, and cut no unit.
//!
//! A unit is what is never cut: a number of bytes, of records, or of lines. Without a number of shards each unit
//! is a shard; with one, the units are dealt evenly over the shards, the first shards getting one more when it does
//! not come out even. Files are read in pieces, never whole.

use crate::SplitSpec;
use std::{
    io::{self, BufRead},
    ops::Range,
};
use valo_protocol::job::MAX_SHARDS;

/// What is never cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// So many bytes; the last unit may be shorter.
    Bytes(u64),
    /// So many bytes; all units are whole.
    Records(u64),
    /// So many lines; the last unit may have fewer.
    Lines(u64),
    /// So many files; the last unit may have fewer.
    Files(u64),
}

/// A split that says one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// What is never cut.
    pub unit: Unit,
    /// Over how many shards the units are dealt.
    pub shards: Option<u32>,
}

/// Why a file cannot be split so.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Not exactly one unit.
    #[error("say what is never cut, with exactly one of bytes, records, lines and files")]
    Unit,
    /// A unit of nothing.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Nothing to split.
    #[error("there is nothing to split: the input is empty")]
    Empty,
    /// A last record that is not whole.
    #[error("{length} bytes do not divide into records of {record}: {rest} bytes are left over")]
    Records {
        /// Bytes of the file.
        length: u64,
        /// Bytes of a record.
        record: u64,
        /// Bytes left over.
        rest: u64,
    },
    /// Fewer units than shards.
    #[error("there are only {units} units for {shards} shards")]
    TooFew {
        /// Units there are.
        units: u64,
        /// Shards asked for.
        shards: u32,
    },
    /// More shards than a contract may have.
    #[error("the split makes more than {MAX_SHARDS} shards; make the unit larger, or say shards: N")]
    TooMany,
    /// Reading failed.
    #[error("cannot read it: {0}")]
    Read(#[from] io::Error),
}

impl TryFrom<SplitSpec> for Split {
    type Error = SplitError;

    fn try_from(spec: SplitSpec) -> Result<Self, SplitError> {
        let units = [
            spec.bytes.map(|size| ("bytes", Unit::Bytes(size.0), size.0)),
            spec.records.map(|size| ("records", Unit::Records(size.0), size.0)),
            spec.lines.map(|lines| ("lines", Unit::Lines(lines), lines)),
            spec.files.map(|files| ("files", Unit::Files(files), files)),
        ];
        let mut units = units.into_iter().flatten();
        let (Some((name, unit, size)), None) = (units.next(), units.next()) else {
            return Err(SplitError::Unit);
        };
        if size == 0 {
            return Err(SplitError::Zero(name));
        }
        if spec.shards == Some(0) {
            return Err(SplitError::Zero("shards"));
        }
        Ok(Self { unit, shards: spec.shards })
    }
}

/// Deals `units` evenly over shards, in order: the unit numbers of each shard.
pub fn deal(units: u64, shards: Option<u32>) -> Result<Vec<Range<u64>>, SplitError> {
    if units == 0 {
        return Err(SplitError::Empty);
    }
    let count = shards.map_or(units, u64::from);
    if count > u64::from(MAX_SHARDS) {
        return Err(SplitError::TooMany);
    }
    if units < count {
        return Err(SplitError::TooFew { units, shards: shards.unwrap_or(0) });
    }
    let (each, more) = (units / count, units % count);
    // Shard n starts after n times `each` units, and one more for each of the larger shards before it.
    let start = |shard: u64| each.saturating_mul(shard).saturating_add(shard.min(more));
    Ok((0..count).map(|shard| start(shard)..start(shard.saturating_add(1))).collect())
}

/// The byte ranges of the shards of a file of `length` bytes. Lines need its contents: `open` is called for them,
/// once to count and once to find where the shards begin.
pub fn split<R: BufRead>(
    length: u64,
    split: Split,
    open: impl Fn() -> io::Result<R>,
) -> Result<Vec<Range<u64>>, SplitError> {
    match split.unit {
        Unit::Bytes(unit) => pieces(length, unit, split.shards),
        Unit::Records(record) => {
            let rest = length.checked_rem(record).unwrap_or(0);
            if rest != 0 {
                return Err(SplitError::Records { length, record, rest });
            }
            pieces(length, record, split.shards)
        }
        Unit::Lines(lines) => {
            let total = count_lines(open()?)?;
            let shards = deal(total.div_ceil(lines), split.shards)?;
            let first_lines: Vec<u64> = shards.iter().map(|shard| shard.start.saturating_mul(lines)).collect();
            let mut offsets = line_offsets(open()?, &first_lines)?;
            offsets.push(length);
            Ok(offsets.windows(2).filter_map(|pair| Some(*pair.first()?..*pair.last()?)).collect())
        }
        // Files are dealt whole, by their owner: see the plan.
        Unit::Files(_) => Err(SplitError::Unit),
    }
}

fn pieces(length: u64, unit: u64, shards: Option<u32>) -> Result<Vec<Range<u64>>, SplitError> {
    let shards = deal(length.div_ceil(unit), shards)?;
    let at = |number: u64| number.saturating_mul(unit).min(length);
    Ok(shards.into_iter().map(|shard| at(shard.start)..at(shard.end)).collect())
}

/// Calls `visit` with each chunk and where it starts, until the end or until it says stop.
fn chunks(mut reader: impl BufRead, mut visit: impl FnMut(u64, &[u8]) -> bool) -> io::Result<()> {
    let mut start = 0u64;
    loop {
        let chunk = reader.fill_buf()?;
        let length = chunk.len();
        if length == 0 || !visit(start, chunk) {
            return Ok(());
        }
        reader.consume(length);
        start = start.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
    }
}

/// Lines, counting a last one without its end.
fn count_lines(reader: impl BufRead) -> io::Result<u64> {
    let (mut ends, mut last) = (0u64, b'\n');
    chunks(reader, |_, chunk| {
        let found = chunk.iter().filter(|byte| **byte == b'\n').count();
        ends = ends.saturating_add(u64::try_from(found).unwrap_or(u64::MAX));
        last = chunk.last().copied().unwrap_or(last);
        true
    })?;
    Ok(if last == b'\n' { ends } else { ends.saturating_add(1) })
}

/// Where the given lines begin; the numbers ascend, and the first is 0.
fn line_offsets(reader: impl BufRead, lines: &[u64]) -> io::Result<Vec<u64>> {
    let mut wanted = lines.iter().copied().peekable();
    let mut offsets = Vec::with_capacity(lines.len());
    if wanted.next_if_eq(&0).is_some() {
        offsets.push(0);
    }
    let mut line = 0u64;
    chunks(reader, |start, chunk| {
        for (position, byte) in (1u64..).zip(chunk) {
            if *byte == b'\n' {
                line = line.saturating_add(1);
                if wanted.next_if_eq(&line).is_some() {
                    offsets.push(start.saturating_add(position));
                }
            }
        }
        wanted.peek().is_some()
    })?;
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(contents: &[u8], unit: Unit, shards: Option<u32>) -> Result<Vec<Range<u64>>, SplitError> {
        // A small buffer, so that lines cross its border.
        split(contents.len() as u64, Split { unit, shards }, || Ok(io::BufReader::with_capacity(7, contents)))
    }

    #[test]
    fn records_are_dealt_evenly() {
        let contents = vec![0u8; 1797 * 65];
        let ranges = of(&contents, Unit::Records(65), Some(8)).unwrap();
        let records: Vec<u64> = ranges.iter().map(|range| (range.end - range.start) / 65).collect();
        assert_eq!(records, [225, 225, 225, 225, 225, 224, 224, 224]);
    }

    #[test]
    fn what_does_not_come_out_is_refused() {
        let error = of(&[0; 100], Unit::Records(65), Some(1)).unwrap_err();
        assert_eq!(error.to_string(), "100 bytes do not divide into records of 65: 35 bytes are left over");
        let error = of(&[0; 100], Unit::Bytes(50), Some(3)).unwrap_err();
        assert_eq!(error.to_string(), "there are only 2 units for 3 shards");
        assert!(matches!(of(&[], Unit::Lines(1), None), Err(SplitError::Empty)));
        assert!(matches!(of(&[0; 100_001], Unit::Bytes(1), None), Err(SplitError::TooMany)));
    }

    #[test]
    fn the_last_line_counts_without_its_end() {
        assert_eq!(of(b"a\nb\nc", Unit::Lines(2), None).unwrap(), [0..4, 4..5]);
        assert_eq!(of(b"a\nb\nc\n", Unit::Lines(2), None).unwrap(), [0..4, 4..6]);
        assert_eq!(of(b"\n\n\n", Unit::Lines(1), Some(2)).unwrap(), [0..2, 2..3]);
    }

    #[test]
    fn a_split_says_one_thing() {
        use crate::quantity::Size;
        let both = SplitSpec { bytes: Some(Size(1)), lines: Some(1), ..SplitSpec::default() };
        assert!(matches!(Split::try_from(both), Err(SplitError::Unit)));
        assert!(matches!(Split::try_from(SplitSpec::default()), Err(SplitError::Unit)));
        let zero = SplitSpec { records: Some(Size(0)), ..SplitSpec::default() };
        assert_eq!(Split::try_from(zero).unwrap_err().to_string(), "records must be at least 1");
    }

    fn units() -> impl Strategy<Value = Unit> {
        prop_oneof![
            (1u64..40).prop_map(Unit::Bytes),
            (1u64..8).prop_map(Unit::Records),
            (1u64..8).prop_map(Unit::Lines)
        ]
    }

    proptest! {
        #[test]
        fn ranges_cover_the_file_in_order_and_cut_no_unit(
            contents in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'x')], 0..300),
            unit in units(),
            shards in proptest::option::of(1u32..12),
        ) {
            let length = contents.len() as u64;
            match of(&contents, unit, shards) {
                Ok(ranges) => {
                    let mut at = 0;
                    for range in &ranges {
                        prop_assert_eq!(range.start, at);
                        prop_assert!(range.end > range.start, "no shard is empty");
                        at = range.end;
                        if at < length {
                            match unit {
                                Unit::Bytes(size) | Unit::Records(size) => prop_assert_eq!(at % size, 0),
                                Unit::Lines(_) => prop_assert_eq!(contents[usize::try_from(at).unwrap() - 1], b'\n'),
                                Unit::Files(_) => {}
                            }
                        }
                    }
                    prop_assert_eq!(at, length);
                    if let Some(shards) = shards {
                        prop_assert_eq!(ranges.len(), shards as usize);
                    }
                }
                Err(SplitError::Empty) => prop_assert_eq!(length, 0),
                Err(SplitError::TooFew { units, shards }) => prop_assert!(units < u64::from(shards)),
                Err(SplitError::Records { record, .. }) => prop_assert_ne!(length % record, 0),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }

        #[test]
        fn shards_differ_by_one_unit_at_most(units in 1u64..10_000, shards in 1u32..500) {
            prop_assume!(units >= u64::from(shards));
            let dealt = deal(units, Some(shards)).unwrap();
            let sizes: Vec<u64> = dealt.iter().map(|range| range.end - range.start).collect();
            prop_assert_eq!(sizes.iter().sum::<u64>(), units);
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }
}
