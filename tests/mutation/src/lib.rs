//! Damaged inputs for tests of parsers: good ones, changed as storage, networks and adversaries change them.
//!
//! Purely random bytes seldom get past the first field of a format. These start from inputs that parse, so that the
//! damage reaches every branch behind it: a flipped bit, a length that lies, the head of one value with the
//! tail of another. proptest shrinks what fails to the fewest changes.

use proptest::{collection::vec, prelude::*, sample::Index};

/// Numbers at which lengths, counts and tags break.
const NUMBERS: [u32; 9] = [0, 1, 0x7f, 0x80, 0xffff, 0x0001_0000, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff];

/// Words that documents hold in place of the right ones.
const WORDS: [&str; 24] = [
    "",
    "-1",
    "0",
    "99999999999999999999",
    "1e309",
    ".nan",
    "null",
    "~",
    "true",
    "[]",
    "{}",
    "[[[[",
    "\"",
    "\"\\u0000\"",
    "'\n'",
    "&a *a",
    "!!binary x",
    "<<: *a",
    "../../x",
    "/",
    "é\u{202e}",
    "\u{0}",
    "---",
    "1.5Gi",
];

/// One change of a run of bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Number(Index, u32),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Truncate(Index),
    Extend(Vec<u8>),
    Splice(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        2 => (any::<Index>(), prop::sample::select(&NUMBERS[..])).prop_map(|(at, value)| Change::Number(at, value)),
        1 => (any::<Index>(), vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => (any::<Index>(), 1usize..40).prop_map(|(at, count)| Change::Remove(at, count)),
        1 => (any::<Index>(), 1usize..200).prop_map(|(at, count)| Change::Repeat(at, count)),
        1 => any::<Index>().prop_map(Change::Truncate),
        1 => vec(any::<u8>(), 1..40).prop_map(Change::Extend),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(at, from)| Change::Splice(at, from)),
    ]
}

impl Change {
    /// Applies the change; `other` is another good input, for splices.
    fn apply(&self, bytes: &mut Vec<u8>, other: &[u8]) {
        let end = bytes.len();
        // A place between bytes, and the run of at most `count` bytes behind it.
        let place = |at: &Index| at.index(end.saturating_add(1));
        let run = |at: &Index, count: usize| place(at)..place(at).saturating_add(count).min(end);
        match self {
            Self::Flip(at, bit) => bytes[run(at, 1)].iter_mut().for_each(|byte| *byte ^= 1 << bit),
            Self::Set(at, value) => bytes[run(at, 1)].fill(*value),
            Self::Number(at, value) => {
                bytes[run(at, 4)].iter_mut().zip(value.to_le_bytes()).for_each(|(byte, new)| *byte = new);
            }
            Self::Insert(at, new) => drop(bytes.splice(run(at, 0), new.iter().copied())),
            Self::Remove(at, count) => drop(bytes.drain(run(at, *count))),
            Self::Repeat(at, count) => bytes.extend_from_within(run(at, *count)),
            Self::Truncate(at) => bytes.truncate(place(at)),
            Self::Extend(new) => bytes.extend(new),
            Self::Splice(at, from) => {
                bytes.truncate(place(at));
                bytes.extend(&other[from.index(other.len().saturating_add(1))..]);
            }
        }
    }
}

/// One of the good inputs with one to four changes; now and then nothing of it is left.
pub fn damaged(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(seeds);
    let changed = (seed.clone(), seed, vec(change(), 1..5)).prop_map(|(mut bytes, other, changes)| {
        changes.iter().for_each(|change| change.apply(&mut bytes, &other));
        bytes
    });
    prop_oneof![15 => changed, 1 => vec(any::<u8>(), 0..300)]
}

/// One change of the lines and words of a text.
#[derive(Debug, Clone)]
enum Edit {
    RemoveLine(Index),
    RepeatLine(Index),
    SwapLines(Index, Index),
    Indent(Index, usize),
    Replace(Index, Index, &'static str),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        any::<Index>().prop_map(Edit::RemoveLine),
        any::<Index>().prop_map(Edit::RepeatLine),
        (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Edit::SwapLines(a, b)),
        (any::<Index>(), 0usize..9).prop_map(|(at, spaces)| Edit::Indent(at, spaces)),
        (any::<Index>(), any::<Index>(), prop::sample::select(&WORDS[..]))
            .prop_map(|(line, word, new)| Edit::Replace(line, word, new)),
    ]
}

impl Edit {
    fn apply(&self, lines: &mut Vec<String>) {
        if lines.is_empty() {
            return;
        }
        let at = |index: &Index| index.index(lines.len());
        match self {
            Self::RemoveLine(line) => drop(lines.remove(at(line))),
            Self::RepeatLine(line) => {
                let line = at(line);
                lines.insert(line, lines[line].clone());
            }
            Self::SwapLines(a, b) => {
                let (a, b) = (at(a), at(b));
                lines.swap(a, b);
            }
            Self::Indent(line, spaces) => {
                let line = at(line);
                lines[line] = format!("{}{}", " ".repeat(*spaces), lines[line].trim_start());
            }
            Self::Replace(line, word, new) => {
                let line = at(line);
                lines[line] = replace_word(&lines[line], word, new);
            }
        }
    }
}

/// The line with one of its words, as quotes, brackets and spaces part them, replaced.
fn replace_word(line: &str, which: &Index, new: &str) -> String {
    let is_word = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-' | '_' | '/' | '*' | ':');
    let mut words: Vec<(usize, usize)> = Vec::new();
    for (at, letter) in line.char_indices().filter(|(_, letter)| is_word(*letter)) {
        let end = at.saturating_add(letter.len_utf8());
        match words.last_mut().filter(|word| word.1 == at) {
            Some(word) => word.1 = end,
            None => words.push((at, end)),
        }
    }
    if words.is_empty() {
        return new.to_owned();
    }
    let (start, end) = words[which.index(words.len())];
    format!("{}{new}{}", &line[..start], &line[end..])
}

/// One of the good texts with changes of its lines and words, or of its bytes; always text.
pub fn damaged_text(seeds: Vec<String>) -> impl Strategy<Value = String> {
    let bytes = seeds.iter().map(|text| text.clone().into_bytes()).collect();
    let edited = (prop::sample::select(seeds), vec(edit(), 1..5)).prop_map(|(text, edits)| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        edits.iter().for_each(|edit| edit.apply(&mut lines));
        lines.join("\n")
    });
    let damaged = damaged(bytes).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    prop_oneof![2 => edited, 1 => damaged]
}
