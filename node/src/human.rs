//! Numbers as people read them: spans, ages, sizes, counts.

use std::time::Duration;
use valo_protocol::Timestamp;

/// A span in its two largest units: `850ms`, `12.3s`, `3m 20s`, `5h 12m`, `3d 4h`.
pub fn span(span: Duration) -> String {
    valo_contract::quantity::in_words(span)
}

/// How long before `now` a moment was; `-` for one that is still to come.
pub fn age(now: Timestamp, moment: Timestamp) -> String {
    if moment > now { "-".to_owned() } else { span(now.since(moment).into()) }
}

/// A moment of block time, in UTC.
pub fn moment(time: Timestamp) -> String {
    let parsed = i64::try_from(time.0).ok().and_then(|millisecond| jiff::Timestamp::from_millisecond(millisecond).ok());
    parsed.map_or_else(|| time.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// A size: `512 B`, `64 KiB`, `1.5 MiB`.
pub fn size(bytes: u64) -> String {
    valo_contract::quantity::size_in_words(bytes)
}

/// A count: `950`, `170M`, `2.2G`.
pub fn count(number: u64) -> String {
    for (unit, name) in [(1_000_000_000_000u64, "T"), (1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")] {
        if number >= unit {
            let tenths = u128::from(number).saturating_mul(10) / u128::from(unit);
            return match tenths % 10 {
                0 => format!("{}{name}", tenths / 10),
                rest => format!("{}.{rest}{name}", tenths / 10),
            };
        }
    }
    number.to_string()
}

/// `1 shard`, `2 shards`.
pub fn plural(number: impl Into<u64>, thing: &str) -> String {
    match number.into() {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_them() {
        assert_eq!(span(Duration::from_millis(850)), "850ms");
        assert_eq!(span(Duration::from_millis(12_340)), "12.3s");
        assert_eq!(span(Duration::from_secs(200)), "3m 20s");
        assert_eq!(span(Duration::from_secs(90_000)), "1d 1h");
        assert_eq!(size(512), "512 B");
        assert_eq!(size(65_536), "64 KiB");
        assert_eq!(size(1_572_864), "1.5 MiB");
        assert_eq!(size(u64::MAX), "16777215.9 TiB");
        assert_eq!(count(170_000_000), "170M");
        assert_eq!(count(2_200_000_000), "2.2G");
        assert_eq!(count(999), "999");
        assert_eq!(plural(1u32, "shard"), "1 shard");
        assert_eq!(age(Timestamp(5_000), Timestamp(0)), "5.0s");
        assert_eq!(moment(Timestamp(0)), "1970-01-01 00:00:00");
    }
}
