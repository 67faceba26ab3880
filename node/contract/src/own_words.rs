//! What libraries say of a value, in words that help who wrote the value.

/// What the standard library and serde say, and what it means.
const MEANINGS: [(&str, &str); 12] = [
    ("invalid digit found in string", "it takes a whole number"),
    ("cannot parse integer from empty string", "it takes a whole number"),
    ("number too large to fit in target type", "the number is too large"),
    ("number too small to fit in target type", "the number is too small"),
    ("expected u8", "expected a whole number from 0 to 255"),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected u32", "expected a whole number from 0 to 4294967295"),
    ("expected u64", "expected a whole number from 0"),
    ("expected usize", "expected a whole number from 0"),
    ("expected i64", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("provided string was not `true` or `false`", "it takes true or false"),
];

/// A message of a library in which types of its language have become what people write.
pub fn own_words(message: &str) -> String {
    MEANINGS.iter().fold(message.to_owned(), |text, (theirs, ours)| replace(&text, theirs, ours))
}

/// Replaces whole words only: `expected u8` is not in `expected u80`.
fn replace(text: &str, theirs: &str, ours: &str) -> String {
    let (mut made, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(theirs) {
        made.push_str(before);
        made.push_str(if after.starts_with(char::is_alphanumeric) { theirs } else { ours });
        rest = after;
    }
    made + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_a_language_become_ranges() {
        assert_eq!(
            own_words("spec.verification.replicas: invalid value: integer `300`, expected u8 at line 3"),
            "spec.verification.replicas: invalid value: integer `300`, expected a whole number from 0 to 255 at line 3"
        );
        assert_eq!(own_words("limit: invalid digit found in string"), "limit: it takes a whole number");
        assert_eq!(own_words("expected u80"), "expected u80");
        assert_eq!(own_words(""), "");
    }
}
