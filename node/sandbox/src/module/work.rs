//! How much work a function is for the compiler, found without compiling it.
//!
//! A few kilobytes can keep a compiler busy for hours: thousands of values that live through
//! hundreds of nested loops give it millions of merges to make and undo. What costs it is, next to
//! the number of operators, how many values are alive in how many blocks, how many of them a merge
//! has to bring together, and how many blocks and nested loops there are. [`Estimate`] follows a
//! function's operators, draws its control flow graph, and finds what is alive where. For the
//! structured control flow of WebAssembly that takes two passes: backwards without the branches
//! back to loops, then what is alive at the head of a loop is alive all through it (Boissinot et
//! al., "A non-iterative data-flow algorithm for computing liveness sets in strict SSA programs",
//! APLAS 2011).
//!
//! The estimate is in nanoseconds, from measuring the worst of each kind on a core of 2020's;
//! ordinary code takes a fraction of it. It decides a verdict, so it depends on nothing but the
//! function's bytes.

use wasmparser::{BlockType, Operator};

/// Each operator, and what more a call takes.
const OPERATOR: u64 = 3_500;
const CALL: u64 = 20_000;
/// Each value alive at the start of a block; more for each loop around it.
const ALIVE: u64 = 100;
const ALIVE_IN_LOOP: u64 = 50;
/// Values of the compiler's own that are alive everywhere: fuel, epoch, memory and context.
const ALWAYS_ALIVE: u64 = 4;
/// Each pair of values that a loop, or the end of a block, has to merge.
const MERGED_IN_LOOP: u64 = 50;
const MERGED: u64 = 6;
/// Each pair of blocks, and each pair of loops one inside the other.
const BLOCKS: u64 = 5;
const NESTED_LOOPS: u64 = 250;
/// Each value that a branch carries, and each target of a `br_table`.
const CARRIED: u64 = 300;
const TARGET: u64 = 500;

/// The compiler takes no longer `br_table` than about this.
const LONGEST_SWITCH: u32 = 65_000;
/// A function that has more blocks times locals than this is not even looked at.
const LARGEST_SETS: usize = 1 << 26;

type Block = usize;

/// A function is more work than any function may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooComplex;

struct Frame {
    is_loop: bool,
    /// Where a branch to this frame goes, and how many values it carries.
    target: Block,
    arity: u64,
    end: Block,
    /// Where an `if` goes when it is not taken, until its `else` is met.
    otherwise: Option<Block>,
    /// How many writes of locals came before it.
    writes: u64,
    /// Where its head is in the order of blocks.
    head: usize,
}

/// The locals that a block reads before it writes them, or writes, in the order they are met.
#[derive(Clone, Copy)]
enum Access {
    Read(u32),
    Write(u32),
}

/// What is known of a block when it is placed in the order of the code.
struct Placed {
    block: Block,
    accesses: usize,
    branches: usize,
    operands: u64,
    loops: u64,
    /// Writes of locals in the loop that begins here, or in the block that ends here: no more
    /// values than these have to be merged.
    written: u64,
    is_loop: bool,
}

pub(super) struct Estimate {
    locals: u32,
    frames: Vec<Frame>,
    loops: u64,
    blocks: usize,
    order: Vec<Placed>,
    accesses: Vec<Access>,
    /// Where blocks go to, in the order of the blocks that go.
    branches: Vec<Block>,
    /// In the order of the code: where a loop begins, and where it has ended.
    extents: Vec<(usize, bool)>,
    writes: u64,
    work: u64,
}

impl Estimate {
    pub(super) fn new(locals: u32, results: usize) -> Estimate {
        let mut estimate = Estimate {
            locals,
            frames: Vec::new(),
            loops: 0,
            blocks: 0,
            order: Vec::new(),
            accesses: Vec::new(),
            branches: Vec::new(),
            extents: Vec::new(),
            writes: 0,
            work: 0,
        };
        let entry = estimate.block();
        let end = estimate.block();
        estimate.place(entry, 0);
        let arity = results as u64;
        estimate.open(false, end, end, arity, None);
        estimate
    }

    fn block(&mut self) -> Block {
        self.blocks += 1;
        self.blocks - 1
    }

    fn place(&mut self, block: Block, operands: u32) {
        self.order.push(Placed {
            block,
            accesses: self.accesses.len(),
            branches: self.branches.len(),
            operands: u64::from(operands),
            loops: self.loops,
            written: 0,
            is_loop: false,
        });
    }

    fn add(&mut self, work: u64) {
        self.work = self.work.saturating_add(work);
    }

    /// A branch out of the block that was placed last.
    fn branch(&mut self, depth: u32) {
        let at = usize::try_from(depth).ok().and_then(|depth| self.frames.len().checked_sub(depth + 1));
        if let Some(frame) = at.and_then(|at| self.frames.get(at)) {
            let (target, arity, goes_back) = (frame.target, frame.arity, frame.is_loop);
            self.add(arity.saturating_mul(CARRIED));
            if !goes_back {
                self.branches.push(target);
            }
        }
    }

    /// Takes the next operator, after it was found valid. `operands` is how many values are on the
    /// stack after it, and `arities` gives the parameters and results of a block type.
    pub(super) fn operator(
        &mut self,
        operator: &Operator<'_>,
        operands: u32,
        arities: impl Fn(BlockType) -> (usize, usize),
    ) {
        self.add(OPERATOR);
        match operator {
            Operator::LocalGet { local_index } => self.accesses.push(Access::Read(*local_index)),
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                self.writes += 1;
                self.accesses.push(Access::Write(*local_index));
            }
            Operator::Call { .. } | Operator::CallIndirect { .. } => self.add(CALL),
            Operator::Block { blockty } => {
                let (_, results) = arities(*blockty);
                let end = self.block();
                self.open(false, end, end, results as u64, None);
            }
            Operator::Loop { blockty } => {
                let (parameters, _) = arities(*blockty);
                let (head, end) = (self.block(), self.block());
                self.branches.push(head);
                self.loops += 1;
                self.add(self.loops.saturating_mul(NESTED_LOOPS));
                self.extents.push((self.order.len(), true));
                self.place(head, operands);
                self.open(true, head, end, parameters as u64, None);
            }
            Operator::If { blockty } => {
                let (_, results) = arities(*blockty);
                let (then, otherwise, end) = (self.block(), self.block(), self.block());
                self.branches.extend([then, otherwise]);
                self.place(then, operands);
                self.open(false, end, end, results as u64, Some(otherwise));
            }
            Operator::Else => self.otherwise(operands),
            Operator::End => self.close(operands),
            Operator::Br { relative_depth } => {
                self.branch(*relative_depth);
                self.next(false, operands);
            }
            Operator::BrIf { relative_depth } => {
                self.branch(*relative_depth);
                self.next(true, operands);
            }
            Operator::BrTable { targets } if targets.len() > LONGEST_SWITCH => self.add(u64::MAX),
            Operator::BrTable { targets } => {
                let mut depths: Vec<u32> = targets.targets().filter_map(Result::ok).collect();
                depths.push(targets.default());
                self.add((depths.len() as u64).saturating_mul(TARGET));
                depths.sort_unstable();
                depths.dedup();
                for depth in depths {
                    self.branch(depth);
                }
                self.next(false, operands);
            }
            Operator::Return | Operator::Unreachable => self.next(false, operands),
            _ => {}
        }
    }

    fn open(&mut self, is_loop: bool, target: Block, end: Block, arity: u64, otherwise: Option<Block>) {
        let head = self.order.len().saturating_sub(1);
        self.frames.push(Frame { is_loop, target, arity, end, otherwise, writes: self.writes, head });
    }

    /// What comes after a branch, which falls through to it or does not.
    fn next(&mut self, falls_through: bool, operands: u32) {
        let next = self.block();
        if falls_through {
            self.branches.push(next);
        }
        self.place(next, operands);
    }

    fn otherwise(&mut self, operands: u32) {
        let Some(frame) = self.frames.last_mut() else { return };
        let (end, otherwise) = (frame.end, frame.otherwise.take());
        self.branches.push(end);
        if let Some(otherwise) = otherwise {
            self.place(otherwise, operands);
        }
    }

    fn close(&mut self, operands: u32) {
        let Some(frame) = self.frames.pop() else { return };
        self.branches.push(frame.end);
        if let Some(otherwise) = frame.otherwise {
            self.place(otherwise, operands);
            self.branches.push(frame.end);
        }
        if frame.is_loop {
            self.loops = self.loops.saturating_sub(1);
            self.extents.push((self.order.len(), false));
        }
        self.place(frame.end, operands);
        let merges_at = if frame.is_loop { frame.head } else { self.order.len().saturating_sub(1) };
        if let Some(placed) = self.order.get_mut(merges_at) {
            placed.written = self.writes.saturating_sub(frame.writes);
            placed.is_loop = frame.is_loop;
        }
    }

    /// The estimate of the whole function, in nanoseconds.
    pub(super) fn finish(mut self) -> Result<u64, TooComplex> {
        let words = usize::try_from(self.locals.div_ceil(64)).map_err(|_| TooComplex)?;
        if self.blocks.saturating_mul(words).saturating_mul(64) > LARGEST_SETS {
            return Err(TooComplex);
        }
        let alive = self.alive(words);
        self.add(alive);
        let blocks = self.blocks as u64;
        self.add(blocks.saturating_mul(blocks).saturating_mul(BLOCKS));
        Ok(self.work)
    }

    /// First pass: what is alive at the start of each block, branches back left out.
    fn alive_forward(&self, words: usize) -> Vec<u64> {
        let mut sets = vec![0u64; self.blocks * words];
        let mut next = (self.accesses.len(), self.branches.len());
        let mut now = vec![0u64; words];
        for placed in self.order.iter().rev() {
            now.fill(0);
            for target in self.branches.get(placed.branches..next.1).unwrap_or_default() {
                for (word, other) in now.iter_mut().zip(set(&sets, *target, words)) {
                    *word |= other;
                }
            }
            for access in self.accesses.get(placed.accesses..next.0).unwrap_or_default().iter().rev() {
                match access {
                    Access::Read(local) => mark(&mut now, *local, true),
                    Access::Write(local) => mark(&mut now, *local, false),
                }
            }
            if let Some(start) = sets.get_mut(placed.block * words..(placed.block + 1) * words) {
                start.copy_from_slice(&now);
            }
            next = (placed.accesses, placed.branches);
        }
        sets
    }

    /// Second pass: adds up what is alive at the start of each block, loops included.
    fn alive(&self, words: usize) -> u64 {
        let sets = self.alive_forward(words);
        // What is alive at the heads of the loops around, together.
        let mut around: Vec<Vec<u64>> = vec![vec![0; words]];
        let mut extents = self.extents.iter().peekable();
        let mut work = 0u64;
        for (at, placed) in self.order.iter().enumerate() {
            let own = set(&sets, placed.block, words);
            while let Some((_, begins)) = extents.next_if(|(position, _)| *position == at) {
                if *begins {
                    let outer = around.last().map(Vec::as_slice).unwrap_or_default();
                    around.push(outer.iter().zip(own).map(|(outer, own)| outer | own).collect());
                } else {
                    around.pop();
                }
            }
            let outer = around.last().map(Vec::as_slice).unwrap_or_default();
            let locals: u32 = own.iter().zip(outer).map(|(own, outer)| (own | outer).count_ones()).sum();
            let alive = u64::from(locals) + placed.operands + ALWAYS_ALIVE;
            let each = ALIVE.saturating_add(ALIVE_IN_LOOP.saturating_mul(placed.loops));
            let merged = placed.written.min(u64::from(locals)).saturating_pow(2);
            let merging = merged.saturating_mul(if placed.is_loop { MERGED_IN_LOOP } else { MERGED });
            work = work.saturating_add(alive.saturating_mul(each)).saturating_add(merging);
        }
        work
    }
}

fn set(sets: &[u64], block: Block, words: usize) -> &[u64] {
    sets.get(block * words..(block + 1) * words).unwrap_or_default()
}

fn mark(set: &mut [u64], local: u32, alive: bool) {
    let bit = 1u64 << (local % 64);
    if let Some(word) = usize::try_from(local / 64).ok().and_then(|at| set.get_mut(at)) {
        if alive {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }
}
