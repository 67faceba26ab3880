//! The guest's linear memory, reached only through checked slices.
//!
//! Pointers and lengths come from the program: a range that does not lie in memory is `EFAULT`,
//! never a panic, and no length of the guest's ever sizes an allocation of the host's.

use super::abi::Errno;

pub(crate) struct Guest<'a>(&'a mut [u8]);

/// A buffer somewhere in the guest, as in an `iovec`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffer {
    pub(crate) pointer: u32,
    pub(crate) length: u32,
}

/// More buffers than this in one call are refused, as `IOV_MAX` has it elsewhere.
const MAXIMUM_BUFFERS: u32 = 1_024;
const BUFFER_BYTES: u32 = 8;

impl<'a> Guest<'a> {
    pub(crate) fn new(memory: &'a mut [u8]) -> Guest<'a> {
        Guest(memory)
    }

    pub(crate) fn slice(&self, pointer: u32, length: u32) -> Result<&[u8], Errno> {
        let start = usize::try_from(pointer).map_err(|_| Errno::Fault)?;
        let length = usize::try_from(length).map_err(|_| Errno::Fault)?;
        self.0.get(start..).and_then(|rest| rest.get(..length)).ok_or(Errno::Fault)
    }

    pub(crate) fn slice_mut(&mut self, pointer: u32, length: u32) -> Result<&mut [u8], Errno> {
        let start = usize::try_from(pointer).map_err(|_| Errno::Fault)?;
        let length = usize::try_from(length).map_err(|_| Errno::Fault)?;
        self.0.get_mut(start..).and_then(|rest| rest.get_mut(..length)).ok_or(Errno::Fault)
    }

    fn array<const N: usize>(&self, pointer: u32) -> Result<[u8; N], Errno> {
        let length = u32::try_from(N).map_err(|_| Errno::Fault)?;
        self.slice(pointer, length)?.try_into().map_err(|_| Errno::Fault)
    }

    pub(crate) fn read_u8(&self, pointer: u32) -> Result<u8, Errno> {
        Ok(u8::from_le_bytes(self.array(pointer)?))
    }

    pub(crate) fn read_u16(&self, pointer: u32) -> Result<u16, Errno> {
        Ok(u16::from_le_bytes(self.array(pointer)?))
    }

    pub(crate) fn read_u32(&self, pointer: u32) -> Result<u32, Errno> {
        Ok(u32::from_le_bytes(self.array(pointer)?))
    }

    pub(crate) fn read_u64(&self, pointer: u32) -> Result<u64, Errno> {
        Ok(u64::from_le_bytes(self.array(pointer)?))
    }

    pub(crate) fn write(&mut self, pointer: u32, bytes: &[u8]) -> Result<(), Errno> {
        let length = u32::try_from(bytes.len()).map_err(|_| Errno::Fault)?;
        self.slice_mut(pointer, length)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, pointer: u32, value: u32) -> Result<(), Errno> {
        self.write(pointer, &value.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, pointer: u32, value: u64) -> Result<(), Errno> {
        self.write(pointer, &value.to_le_bytes())
    }

    /// The `index`th of an array of buffers.
    pub(crate) fn buffer(&self, array: u32, index: u32) -> Result<Buffer, Errno> {
        let at = index.checked_mul(BUFFER_BYTES).and_then(|offset| array.checked_add(offset));
        let at = at.ok_or(Errno::Fault)?;
        let length_at = at.checked_add(4).ok_or(Errno::Fault)?;
        Ok(Buffer { pointer: self.read_u32(at)?, length: self.read_u32(length_at)? })
    }

    /// How many bytes the buffers of an array hold together; every one must lie in memory.
    pub(crate) fn total(&self, array: u32, count: u32) -> Result<u32, Errno> {
        if count > MAXIMUM_BUFFERS {
            return Err(Errno::Invalid);
        }
        let mut total = 0u32;
        for index in 0..count {
            let buffer = self.buffer(array, index)?;
            self.slice(buffer.pointer, buffer.length)?;
            total = total.checked_add(buffer.length).ok_or(Errno::Invalid)?;
        }
        Ok(total)
    }
}
