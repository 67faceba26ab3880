//! Metering how deep calls go.
//!
//! How much native stack a call takes depends on the processor and on the compiler's version, so
//! whether a deep recursion overflows would be decided differently on different machines, and a
//! worker could lose its stake over it. Therefore every function that calls others counts its own
//! frame in a global, by a rule over the module's bytes alone:
//!
//! ```text
//! (func (param ..) (result R) (local ..)            ;; what is written
//!   (global.set $depth (i32.add (global.get $depth) (i32.const FRAME)))
//!   (if (i32.gt_u (global.get $depth) (i32.const STACK_BYTES)) (then unreachable))
//!   (block (result R)
//!     <the body; `return` is a branch to the end of this block>)
//!   (global.set $depth (i32.sub (global.get $depth) (i32.const FRAME))))
//! ```
//!
//! Labels keep their depths, because the block takes the place of the function's own. Functions
//! that call nothing and have small frames are left alone: they add one frame at most. The native
//! stack is four times as large as the metered one; should it overflow first after all, that is a
//! local failure ([`crate::LocalFailure::NativeStack`]).

use wasmparser::{
    BlockType as Shape, FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader,
    ValidatorResources,
};

use super::{
    FRAME_BYTES, SLOT_BYTES, STACK_BYTES, encode,
    work::{Estimate, TooComplex},
};

/// A function that calls nothing and has no larger frame is not metered.
const LARGEST_FREE_LEAF: u32 = 1_024;

/// Operators that the meter writes.
mod operator {
    pub(super) const UNREACHABLE: u8 = 0x00;
    pub(super) const BLOCK: u8 = 0x02;
    pub(super) const IF: u8 = 0x04;
    pub(super) const END: u8 = 0x0b;
    pub(super) const BRANCH: u8 = 0x0c;
    pub(super) const GLOBAL_GET: u8 = 0x23;
    pub(super) const GLOBAL_SET: u8 = 0x24;
    pub(super) const I32_CONST: u8 = 0x41;
    pub(super) const I32_GT_U: u8 = 0x4b;
    pub(super) const I32_ADD: u8 = 0x6a;
    pub(super) const I32_SUB: u8 = 0x6b;
    pub(super) const NO_RESULT: u8 = 0x40;
}

/// The type of a block that gives what a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockType {
    Empty,
    /// The index of a function type without parameters.
    Index(u32),
}

/// What functions of a type take and give, as far as the meter has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) parameters: usize,
    pub(super) results: usize,
    pub(super) block: BlockType,
}

/// What is the same for all functions of a module.
pub(super) struct Meter<'a> {
    pub(super) types: &'a [Signature],
    /// The global that counts the depth.
    pub(super) global: u32,
}

/// A function's entry in the code section.
pub(super) struct Metered {
    pub(super) bytes: Vec<u8>,
    pub(super) work: Result<u64, TooComplex>,
}

/// What is known of a body after validating it.
struct Body {
    work: Result<u64, TooComplex>,
    frame: u32,
    calls: bool,
    /// Where `return` stands in the body, and how many labels are around it.
    returns: Vec<(usize, u32)>,
    /// Where the operators begin.
    operators: usize,
}

impl Meter<'_> {
    /// Validates a function and writes it again, metered, with its length before it.
    pub(super) fn rewrite(
        &self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        allocations: &mut FuncValidatorAllocations,
    ) -> wasmparser::Result<Metered> {
        let signature = self.signature(function.ty);
        let found = self.validate(function, signature, body, allocations)?;
        let bytes = body.as_bytes();
        let mut entry = Vec::with_capacity(bytes.len() + 64);
        if !found.calls && found.frame <= LARGEST_FREE_LEAF {
            encode::unsigned(&mut entry, bytes.len() as u64);
            entry.extend_from_slice(bytes);
            return Ok(Metered { bytes: entry, work: found.work });
        }
        let mut metered = Vec::with_capacity(bytes.len() + 64);
        let (locals, operators) = bytes.split_at(found.operators.min(bytes.len()));
        metered.extend_from_slice(locals);
        enter(&mut metered, self.global, found.frame, signature.block);
        copy_with_branches(&mut metered, operators, &found);
        leave(&mut metered, self.global, found.frame);
        encode::unsigned(&mut entry, metered.len() as u64);
        entry.extend_from_slice(&metered);
        Ok(Metered { bytes: entry, work: found.work })
    }

    fn signature(&self, index: u32) -> Signature {
        let known = usize::try_from(index).ok().and_then(|index| self.types.get(index));
        // Indices were validated.
        known.copied().unwrap_or(Signature { parameters: 0, results: 0, block: BlockType::Empty })
    }

    fn arities(&self, shape: Shape) -> (usize, usize) {
        match shape {
            Shape::Empty => (0, 0),
            Shape::Type(_) => (0, 1),
            Shape::FuncType(index) => {
                let signature = self.signature(index);
                (signature.parameters, signature.results)
            }
        }
    }

    fn validate(
        &self,
        function: FuncToValidate<ValidatorResources>,
        signature: Signature,
        body: &FunctionBody<'_>,
        allocations: &mut FuncValidatorAllocations,
    ) -> wasmparser::Result<Body> {
        let start = body.range().start;
        let mut validator = function.into_validator(std::mem::take(allocations));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        let operators = reader.original_position() - start;
        let mut estimate = Estimate::new(validator.len_locals(), signature.results);
        let mut deepest = 0;
        let mut calls = false;
        let mut returns = Vec::new();
        let mut reader = OperatorsReader::new(reader);
        while !reader.eof() {
            let (read, offset) = reader.read_with_offset()?;
            match read {
                Operator::Call { .. } | Operator::CallIndirect { .. } => calls = true,
                // The function's own frame is on the control stack too, and is label 0 from outside.
                Operator::Return => {
                    returns.push((offset - start, validator.control_stack_height().saturating_sub(1)));
                }
                _ => {}
            }
            validator.op(offset, &read)?;
            let height = validator.operand_stack_height();
            estimate.operator(&read, height, |shape| self.arities(shape));
            deepest = deepest.max(height);
        }
        reader.finish()?;
        let slots = validator.len_locals().saturating_add(deepest);
        let frame = slots.saturating_mul(SLOT_BYTES).saturating_add(FRAME_BYTES);
        *allocations = validator.into_allocations();
        Ok(Body { work: estimate.finish(), frame, calls, returns, operators })
    }
}

fn enter(code: &mut Vec<u8>, global: u32, frame: u32, block: BlockType) {
    add_to_depth(code, global, frame, operator::I32_ADD);
    get_depth(code, global);
    constant(code, STACK_BYTES);
    code.extend_from_slice(&[
        operator::I32_GT_U,
        operator::IF,
        operator::NO_RESULT,
        operator::UNREACHABLE,
        operator::END,
        operator::BLOCK,
    ]);
    match block {
        BlockType::Empty => code.push(operator::NO_RESULT),
        BlockType::Index(index) => encode::signed(code, i64::from(index)),
    }
}

fn leave(code: &mut Vec<u8>, global: u32, frame: u32) {
    add_to_depth(code, global, frame, operator::I32_SUB);
    code.push(operator::END);
}

fn add_to_depth(code: &mut Vec<u8>, global: u32, frame: u32, operation: u8) {
    get_depth(code, global);
    constant(code, frame);
    code.push(operation);
    code.push(operator::GLOBAL_SET);
    encode::unsigned(code, u64::from(global));
}

fn get_depth(code: &mut Vec<u8>, global: u32) {
    code.push(operator::GLOBAL_GET);
    encode::unsigned(code, u64::from(global));
}

fn constant(code: &mut Vec<u8>, value: u32) {
    code.push(operator::I32_CONST);
    // The same 32 bits, as the signed number they are written as.
    encode::signed(code, i64::from(value.cast_signed()));
}

/// The operators as they stand, `return` replaced; the last `end` closes the block.
fn copy_with_branches(code: &mut Vec<u8>, operators: &[u8], body: &Body) {
    let mut done = 0;
    for (at, labels) in &body.returns {
        let at = at.saturating_sub(body.operators);
        code.extend_from_slice(operators.get(done..at).unwrap_or_default());
        code.push(operator::BRANCH);
        encode::unsigned(code, u64::from(*labels));
        done = at + 1;
    }
    code.extend_from_slice(operators.get(done..).unwrap_or_default());
}
