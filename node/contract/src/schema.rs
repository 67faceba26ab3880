//! Schemas of what is written as text. Numbers may stand where a unit is optional: `memory: 65536`.
//!
//! What a schema takes, the type reads: the API server keeps what its schema takes, and an object that no program can
//! read would be nobody's. So the patterns hold whole numbers of the smallest unit, of a size that fits; and no zeros,
//! which are of use nowhere.

use crate::{
    Deadline, Entry, Source,
    quantity::{Count, MilliCpu, Money, Size, Span},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

macro_rules! schema {
    ($($name:ident: $schema:tt)*) => {
        $(impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

schema! {
    Count: {
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "pattern": r"^([1-9][0-9]{0,17}|([1-9][0-9]{0,8}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9])[kMG]|[1-9][0-9]{0,5}(\.[0-9]{1,3})?T)$",
        "maxLength": 24
    }
    // Eighths of a binary unit are whole bytes, other fractions are not.
    Size: {
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "pattern": r"^([1-9][0-9]{0,17}|([1-9][0-9]{0,8}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9])[kMG]|([1-9][0-9]{0,8}|[0-9]{1,9}\.(5|25|75|125|375|625|875))(Ki|Mi|Gi))$",
        "maxLength": 24
    }
    MilliCpu: {
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "maximum": 9999,
        "pattern": r"^([1-9][0-9]{0,6}m|[1-9][0-9]{0,3}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9])$",
        "maxLength": 24
    }
    Span: {
        "type": "string",
        "pattern": r"^([1-9][0-9]{0,11}ms|([1-9][0-9]{0,8}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9])[smhd])$",
        "maxLength": 24
    }
    // At most 10^9 VALO exist, in units of 10^-9.
    Money: { "type": "string", "pattern": r"^([0-9]{1,9}(\.[0-9]{1,9})?|1000000000(\.0{1,9})?)$", "maxLength": 20 }
    Deadline: {
        "type": "string",
        "pattern": r"^([1-9][0-9]{0,11}ms|([1-9][0-9]{0,8}(\.[0-9]{1,3})?|0\.[0-9]{0,2}[1-9])[smhd]|2[0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9]))[Tt ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?([Zz]|[-+]([01][0-9]|2[0-3]):[0-5][0-9]))$",
        "maxLength": 40
    }
    Source: { "type": "string", "pattern": r"^([^@:]+|blake3:[0-9a-f]{64})$", "maxLength": 512 }
    Entry: { "type": "string", "pattern": r"^([^@:]+|[^@:]+@blake3:[0-9a-f]{64}(:[0-9]{1,15})?)$", "maxLength": 512 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prelude::*, string::string_regex};
    use schemars::SchemaGenerator;
    use std::{fmt::Debug, str::FromStr};

    /// Texts that the schema of a type takes.
    fn texts<T: JsonSchema>() -> impl Strategy<Value = String> {
        let schema = T::json_schema(&mut SchemaGenerator::default());
        let pattern = schema.get("pattern").unwrap().as_str().unwrap();
        let length = usize::try_from(schema.get("maxLength").unwrap().as_u64().unwrap()).unwrap();
        let texts = string_regex(pattern.trim_start_matches('^').trim_end_matches('$')).unwrap();
        texts.prop_filter("too long", move |text| text.chars().count() <= length)
    }

    fn read<T: FromStr<Err: Debug>>(text: &str) -> Result<(), TestCaseError> {
        text.parse::<T>().map(drop).map_err(|error| TestCaseError::fail(format!("{text}: {error:?}")))
    }

    proptest! {
        #[test]
        fn what_a_schema_takes_is_read(
            count in texts::<Count>(),
            size in texts::<Size>(),
            cpu in texts::<MilliCpu>(),
            span in texts::<Span>(),
            money in texts::<Money>(),
            deadline in texts::<Deadline>(),
            source in texts::<Source>(),
            entry in texts::<Entry>(),
        ) {
            read::<Count>(&count)?;
            read::<Size>(&size)?;
            read::<MilliCpu>(&cpu)?;
            read::<Span>(&span)?;
            read::<valo_protocol::Amount>(&money)?;
            // No pattern knows leap years.
            if !deadline.contains("-02-29") {
                read::<Deadline>(&deadline)?;
            }
            read::<Source>(&source)?;
            read::<Entry>(&entry)?;
        }
    }
}
