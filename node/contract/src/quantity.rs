//! Quantities as contracts and flags write them: counts (`170M`, `2G`), sizes (`64Ki`, `16Mi`), processor
//! shares (`1`, `500m`), spans of time (`10m`, `24h`) and amounts of VALO (`"5"`, `"0.25"`).
//!
//! Each reads itself from YAML, so that a wrong unit is reported with its field, line and column.

use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, marker::PhantomData, str::FromStr};
use valo_protocol::Amount;

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// Not of the form number and unit.
    #[error("`{text}` is not {what}; write {form}")]
    Malformed {
        /// The text.
        text: String,
        /// What it should be.
        what: &'static str,
        /// How that is written.
        form: &'static str,
    },
    /// Not a whole number of the smallest unit.
    #[error("`{text}` is not a whole number of {unit}")]
    Fraction {
        /// The text.
        text: String,
        /// The smallest unit.
        unit: &'static str,
    },
    /// More than fits.
    #[error("`{text}` is too large")]
    TooLarge {
        /// The text.
        text: String,
    },
}

/// How one kind of quantity is written.
struct Grammar {
    what: &'static str,
    form: &'static str,
    smallest: &'static str,
    units: &'static [(&'static str, u64)],
}

const COUNT: Grammar = Grammar {
    what: "a count",
    form: "a number with k, M, G or T, such as 170M or 2G",
    smallest: "steps",
    units: &[("", 1), ("k", 1_000), ("M", 1_000_000), ("G", 1_000_000_000), ("T", 1_000_000_000_000)],
};

const SIZE: Grammar = Grammar {
    what: "a size",
    form: "bytes, with Ki, Mi or Gi (or k, M, G for powers of ten), such as 64Ki or 16Mi",
    smallest: "bytes",
    units: &[
        ("", 1),
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
    ],
};

const CPU: Grammar = Grammar {
    what: "a processor share",
    form: "cores, or thousandths with m, such as 1, 0.5 or 500m",
    smallest: "thousandths of a core",
    units: &[("m", 1), ("", 1_000)],
};

const SPAN: Grammar = Grammar {
    what: "a span of time",
    form: "a number with ms, s, m, h or d, such as 90s, 10m or 24h",
    smallest: "milliseconds",
    units: &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)],
};

impl Grammar {
    /// Reads a decimal number and a unit, exactly: `2.2G` is 2,200,000,000 and `0.3` bytes is an error.
    fn parse(&self, text: &str) -> Result<u64, QuantityError> {
        let malformed = || QuantityError::Malformed { text: text.to_owned(), what: self.what, form: self.form };
        let too_large = || QuantityError::TooLarge { text: text.to_owned() };
        let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let factor = self.units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let factor = factor.ok_or_else(malformed)?;
        let (whole, places) = match number.split_once('.') {
            Some((whole, places)) if !places.is_empty() => (whole, places.trim_end_matches('0')),
            Some(_) => return Err(malformed()),
            None => (number, ""),
        };
        if whole.is_empty() || places.contains('.') {
            return Err(malformed());
        }
        let digits: u128 = format!("{whole}{places}").parse().map_err(|_| too_large())?;
        let scale = u32::try_from(places.len()).ok().and_then(|places| 10u128.checked_pow(places));
        let scale = scale.ok_or_else(too_large)?;
        let scaled = digits.checked_mul(u128::from(factor)).ok_or_else(too_large)?;
        if scaled % scale != 0 {
            return Err(QuantityError::Fraction { text: text.to_owned(), unit: self.smallest });
        }
        u64::try_from(scaled / scale).map_err(|_| too_large())
    }

    /// Writes a number with the largest unit that leaves it whole, so that it reads back as itself.
    fn write(&self, number: u64, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |factor: &u64| number.checked_rem(*factor) == Some(0) && number >= *factor;
        let unit = self.units.iter().filter(|(_, factor)| fits(factor)).max_by_key(|(_, factor)| *factor);
        let (unit, factor) = unit.or(self.units.first()).copied().unwrap_or(("", 1));
        write!(formatter, "{}{unit}", number.checked_div(factor).unwrap_or(number))
    }
}

/// Reads and writes a type as text, by way of its `FromStr` and `Display`.
macro_rules! texts {
    ($name:ident, $expecting:expr) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::quantity::parsed(deserializer, $expecting)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}
pub(crate) use texts;

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $grammar:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub u64);

        impl FromStr for $name {
            type Err = QuantityError;

            fn from_str(text: &str) -> Result<Self, QuantityError> {
                $grammar.parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                $grammar.write(self.0, formatter)
            }
        }

        texts!($name, $grammar.form);
    };
}

quantity! {
    /// A count, such as fuel.
    Count, COUNT
}
quantity! {
    /// A size in bytes.
    Size, SIZE
}
quantity! {
    /// A processor share in thousandths of a core.
    MilliCpu, CPU
}
quantity! {
    /// A span of time in milliseconds.
    Span, SPAN
}

/// An amount of VALO, as a decimal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Money(pub Amount);

impl fmt::Display for Money {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer, "VALO as a decimal, such as \"0.25\"").map(Self)
    }
}

/// Reads a scalar as it is written, so that `0.1` is never rounded by way of a float. It is parsed inside the visitor:
/// only errors from there carry the field, the line and the column.
pub(crate) fn parsed<'de, D, T>(deserializer: D, expecting: &'static str) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Verbatim<T>(&'static str, PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Verbatim<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Verbatim(expecting, PhantomData))
}

/// A span of time for people: `4.2s`, `1m 30s`, `3d 17h`.
pub fn in_words(span: std::time::Duration) -> String {
    let (milliseconds, seconds) = (span.as_millis(), span.as_secs());
    match seconds {
        0 => format!("{milliseconds}ms"),
        1..60 => format!("{seconds}.{}s", span.subsec_millis() / 100),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A size for people: `512 B`, `64 KiB`, `1.5 MiB`.
pub fn size_in_words(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0usize;
    let mut tenths = u128::from(bytes).saturating_mul(10);
    while tenths >= 10_240 && unit < UNITS.len().saturating_sub(1) {
        tenths /= 1024;
        unit = unit.saturating_add(1);
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    match tenths % 10 {
        0 => format!("{} {name}", tenths / 10),
        rest => format!("{}.{rest} {name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_people_write_them() {
        assert_eq!("170M".parse(), Ok(Count(170_000_000)));
        assert_eq!("2.2G".parse(), Ok(Count(2_200_000_000)));
        assert_eq!("64Ki".parse(), Ok(Size(65_536)));
        assert_eq!("1.5Mi".parse(), Ok(Size(1_572_864)));
        assert_eq!("0.5".parse(), Ok(MilliCpu(500)));
        assert_eq!("250m".parse(), Ok(MilliCpu(250)));
        assert_eq!("90s".parse(), Ok(Span(90_000)));
        assert_eq!("24h".parse(), Ok(Span(86_400_000)));
    }

    #[test]
    fn written_with_the_largest_whole_unit() {
        assert_eq!(Count(2_200_000_000).to_string(), "2200M");
        assert_eq!(Size(64 << 20).to_string(), "64Mi");
        assert_eq!(MilliCpu(1000).to_string(), "1");
        assert_eq!(Span(600_000).to_string(), "10m");
        assert_eq!(Span(0).to_string(), "0ms");
    }

    #[test]
    fn wrong_units_name_the_right_ones() {
        assert_eq!(
            "64MB".parse::<Size>().unwrap_err().to_string(),
            "`64MB` is not a size; write bytes, with Ki, Mi or Gi (or k, M, G for powers of ten), such as 64Ki or 16Mi"
        );
        for text in ["", "10", "m", "-1s", "1.s", ".5s", "1.2.3s", "10 m", "1e3s", "10min"] {
            assert!(matches!(text.parse::<Span>(), Err(QuantityError::Malformed { .. })), "{text}");
        }
        assert!(matches!("0.3".parse::<Size>(), Err(QuantityError::Fraction { .. })));
        assert!(matches!("99999999999T".parse::<Count>(), Err(QuantityError::TooLarge { .. })));
        assert!(matches!(
            "9999999999999999999999999999999999999999999".parse::<Count>(),
            Err(QuantityError::TooLarge { .. })
        ));
    }

    proptest! {
        #[test]
        fn any_text_parses_or_is_refused(text in "\\PC{0,40}") {
            let _ = text.parse::<Count>();
            let _ = text.parse::<Span>();
        }

        #[test]
        fn what_is_written_reads_back(number: u64, scale in 0u32..13) {
            let number = number % 1_000_000 * 10u64.pow(scale);
            prop_assert_eq!(Count(number).to_string().parse(), Ok(Count(number)));
            prop_assert_eq!(Size(number).to_string().parse(), Ok(Size(number)));
            prop_assert_eq!(MilliCpu(number).to_string().parse(), Ok(MilliCpu(number)));
            prop_assert_eq!(Span(number).to_string().parse(), Ok(Span(number)));
        }

        #[test]
        fn whole_numbers_are_themselves(number: u64) {
            prop_assert_eq!(number.to_string().parse(), Ok(Count(number)));
            prop_assert_eq!(number.to_string().parse(), Ok(Size(number)));
        }
    }
}
