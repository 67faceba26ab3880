//! The few encodings of the WebAssembly binary format that the meter writes.

use wasmparser::{RefType, ValType};

/// LEB128, unsigned.
pub(super) fn unsigned(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(low_bits(value) | 0x80);
        value >>= 7;
    }
    bytes.push(low_bits(value));
}

fn low_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

/// LEB128, signed.
pub(super) fn signed(bytes: &mut Vec<u8>, mut value: i64) {
    loop {
        let low = low_bits(value.cast_unsigned());
        value >>= 7;
        let sign_is_clear = low & 0x40 == 0;
        if (value == 0 && sign_is_clear) || (value == -1 && !sign_is_clear) {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

pub(super) fn name(bytes: &mut Vec<u8>, name: &str) {
    unsigned(bytes, name.len() as u64);
    bytes.extend_from_slice(name.as_bytes());
}

pub(super) fn section(module: &mut Vec<u8>, id: u8, contents: &[u8]) {
    module.push(id);
    unsigned(module, contents.len() as u64);
    module.extend_from_slice(contents);
}

/// A section that is a list: its old items as they stand, and more behind them.
pub(super) fn extended_list(count: u32, items: &[u8], more: u32, extra: &[u8]) -> Vec<u8> {
    let mut contents = Vec::with_capacity(items.len() + extra.len() + 5);
    unsigned(&mut contents, u64::from(count) + u64::from(more));
    contents.extend_from_slice(items);
    contents.extend_from_slice(extra);
    contents
}

/// The byte of a value type, of those that [`crate::engine::FEATURES`] has.
pub(super) fn value_type(value: ValType) -> Option<u8> {
    match value {
        ValType::I32 => Some(0x7f),
        ValType::I64 => Some(0x7e),
        ValType::F32 => Some(0x7d),
        ValType::F64 => Some(0x7c),
        ValType::V128 => Some(0x7b),
        ValType::Ref(RefType::FUNCREF) => Some(0x70),
        ValType::Ref(_) => None,
    }
}
