//! Schemas of what is written as text. Numbers may stand where a unit is optional: `memory: 65536`.

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
    Count: { "x-kubernetes-int-or-string": true, "pattern": r"^[0-9]+(\.[0-9]+)?[kMGT]?$", "maxLength": 24 }
    Size: { "x-kubernetes-int-or-string": true, "pattern": r"^[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|k|M|G)?$", "maxLength": 24 }
    MilliCpu: { "x-kubernetes-int-or-string": true, "pattern": r"^[0-9]+(\.[0-9]+)?m?$", "maxLength": 24 }
    Span: { "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", "maxLength": 24 }
    // At most 10^9 VALO exist, in units of 10^-9.
    Money: { "type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,9})?$", "maxLength": 20 }
    Deadline: {
        "type": "string",
        "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d)|[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.]+([Zz]|[-+][0-9:]+))$",
        "maxLength": 40
    }
    Source: { "type": "string", "pattern": r"^([^@:]+|blake3:[0-9a-f]{64})$", "maxLength": 512 }
    Entry: { "type": "string", "pattern": r"^([^@:]+|[^@:]+@blake3:[0-9a-f]{64}(:[0-9]+)?)$", "maxLength": 512 }
}
