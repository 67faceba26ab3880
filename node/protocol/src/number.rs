//! Numbers that name or count one thing, a type each, so that none stands where another belongs.
//!
//! All show and read as plain numbers in JSON. On the wire they are [`Varint`](crate::encoding::Varint)s, or of fixed
//! width where `fixed` says so.

/// Defines number types: documentation, name, integer, `varint` or `fixed`.
macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $integer:ty, fixed) => {
        $crate::number::number! {
            @type $(#[$doc])* $name, $integer, borsh::BorshSerialize, borsh::BorshDeserialize
        }
    };
    ($(#[$doc:meta])* $name:ident, $integer:ty, varint) => {
        $crate::number::number! { @type $(#[$doc])* $name, $integer, }

        impl borsh::BorshSerialize for $name {
            fn serialize<W: borsh::io::Write>(&self, writer: &mut W) -> borsh::io::Result<()> {
                borsh::BorshSerialize::serialize(&$crate::encoding::Varint(self.0.into()), writer)
            }
        }

        impl borsh::BorshDeserialize for $name {
            fn deserialize_reader<R: borsh::io::Read>(reader: &mut R) -> borsh::io::Result<Self> {
                let number = <$crate::encoding::Varint as borsh::BorshDeserialize>::deserialize_reader(reader)?.0;
                <$integer>::try_from(number).map(Self).map_err(|_| {
                    $crate::encoding::invalid(concat!("the number does not fit ", stringify!($integer)))
                })
            }
        }
    };
    (@type $(#[$doc:meta])* $name:ident, $integer:ty, $($derive:path),*) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, $($derive),*
        )]
        #[serde(transparent)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub struct $name(pub $integer);

        impl std::fmt::Display for $name {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

pub(crate) use number;
