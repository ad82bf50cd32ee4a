//! The search for an order of operations that explains all answers.
//!
//! Wing and Gong, "Testing and verifying concurrent objects" (1993), with the memory of Lowe, "Testing for linearizability"
//! (2017): no set of operations is tried twice from one state. Operations without an answer may take effect at any time
//! after their invocation, or never. A step may lead to several states.

use core::hash::Hash;
use std::collections::HashSet;

/// What an object does.
pub(crate) trait Spec {
    /// Where it stands.
    type State: Clone + Eq + Hash;
    /// What is done to it, with the answer.
    type Op;
    /// Where it may stand after `op`; nowhere, if the answer cannot be given from `state`.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Vec<Self::State>;
}

/// An operation and when it took place.
#[derive(Debug, Clone)]
pub(crate) struct Interval<Op> {
    pub(crate) from: u64,
    /// `None`: there was no answer.
    pub(crate) to: Option<u64>,
    pub(crate) op: Op,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// There is such an order.
    Linearizable,
    /// There is none. The longest that could be explained, in order, and an operation that no order of it explains next.
    Not { explained: Vec<usize>, stuck: usize },
    /// It took too many steps to tell.
    GaveUp,
}

/// One invocation or return in the list of what is left to explain.
#[derive(Debug, Clone, Copy)]
struct Entry {
    op: usize,
    is_call: bool,
    next: usize,
    before: usize,
}

/// A doubly linked list of invocations and returns in the order of time; the first element is its head.
struct List {
    entries: Vec<Entry>,
    /// Where each operation's return is.
    returns: Vec<Option<usize>>,
}

impl List {
    fn of<Op>(ops: &[Interval<Op>]) -> Self {
        let mut times: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * ops.len());
        for (number, op) in ops.iter().enumerate() {
            times.push((op.from, false, number));
            times.extend(op.to.map(|to| (to, true, number)));
        }
        // At one time, invocations come first: the operations then count as concurrent.
        times.sort_unstable();
        let mut entries = vec![Entry { op: usize::MAX, is_call: false, next: 0, before: 0 }];
        let mut returns = vec![None; ops.len()];
        for (_, is_return, op) in times {
            let at = entries.len();
            if is_return {
                returns[op] = Some(at);
            }
            entries[at - 1].next = at;
            entries.push(Entry { op, is_call: !is_return, next: 0, before: at - 1 });
        }
        Self { entries, returns }
    }

    fn unlink(&mut self, at: usize) {
        let Entry { next, before, .. } = self.entries[at];
        self.entries[before].next = next;
        if next != 0 {
            self.entries[next].before = before;
        }
    }

    fn relink(&mut self, at: usize) {
        let Entry { next, before, .. } = self.entries[at];
        self.entries[before].next = at;
        if next != 0 {
            self.entries[next].before = at;
        }
    }

    /// Takes an operation out, invocation and return.
    fn lift(&mut self, call: usize) {
        self.unlink(call);
        if let Some(at) = self.returns[self.entries[call].op] {
            self.unlink(at);
        }
    }

    /// Puts it back, in the opposite order.
    fn unlift(&mut self, call: usize) {
        if let Some(at) = self.returns[self.entries[call].op] {
            self.relink(at);
        }
        self.relink(call);
    }
}

/// A choice that was made and may have to be taken back.
struct Frame<State> {
    call: usize,
    before: State,
    /// Which of the states of the step comes next.
    next_choice: usize,
}

struct Search<'s, S: Spec> {
    spec: &'s S,
    ops: &'s [Interval<S::Op>],
    list: List,
    /// One bit for each operation that is explained.
    done: Vec<u64>,
    seen: HashSet<(Vec<u64>, S::State)>,
    frames: Vec<Frame<S::State>>,
    /// Operations with an answer that are not explained yet.
    left: usize,
    longest: Vec<usize>,
    stuck: usize,
}

/// Searches for an order that explains every answer, in at most `budget` steps.
pub(crate) fn search<S: Spec>(spec: &S, initial: S::State, ops: &[Interval<S::Op>], budget: usize) -> Found {
    let search = Search {
        spec,
        ops,
        list: List::of(ops),
        done: vec![0; ops.len().div_ceil(64)],
        seen: HashSet::new(),
        frames: Vec::new(),
        left: ops.iter().filter(|op| op.to.is_some()).count(),
        longest: Vec::new(),
        stuck: usize::MAX,
    };
    search.run(initial, budget)
}

impl<S: Spec> Search<'_, S> {
    fn run(mut self, mut state: S::State, budget: usize) -> Found {
        let mut at = self.list.entries[0].next;
        let mut choice = 0;
        while self.left > 0 {
            if self.seen.len() > budget {
                return Found::GaveUp;
            }
            let entry = self.list.entries[at];
            if at != 0 && entry.is_call {
                if let Some(after) = self.advance(at, &state, choice) {
                    state = after;
                    at = self.list.entries[0].next;
                } else {
                    at = entry.next;
                }
                choice = 0;
                continue;
            }
            // A return whose operation is not explained, or the end: some choice before was wrong.
            self.note_stuck(at);
            let Some(frame) = self.frames.pop() else {
                return Found::Not { explained: self.longest, stuck: self.stuck };
            };
            self.retreat(frame.call);
            (state, at, choice) = (frame.before, frame.call, frame.next_choice);
        }
        Found::Linearizable
    }

    /// Explains the operation next, in the first way that was not tried, and returns the state after it.
    fn advance(&mut self, call: usize, state: &S::State, choice: usize) -> Option<S::State> {
        let op = self.list.entries[call].op;
        let states = self.spec.step(state, &self.ops[op].op);
        self.flip(op);
        for (number, after) in states.into_iter().enumerate().skip(choice) {
            if self.seen.insert((self.done.clone(), after.clone())) {
                self.frames.push(Frame { call, before: state.clone(), next_choice: number + 1 });
                self.list.lift(call);
                self.left -= usize::from(self.ops[op].to.is_some());
                return Some(after);
            }
        }
        self.flip(op);
        None
    }

    fn retreat(&mut self, call: usize) {
        let op = self.list.entries[call].op;
        self.flip(op);
        self.left += usize::from(self.ops[op].to.is_some());
        self.list.unlift(call);
    }

    const fn flip(&mut self, op: usize) {
        self.done.as_mut_slice()[op / 64] ^= 1 << (op % 64);
    }

    fn note_stuck(&mut self, at: usize) {
        if self.stuck == usize::MAX || self.frames.len() > self.longest.len() {
            self.longest = self.frames.iter().map(|frame| self.list.entries[frame.call].op).collect();
            self.stuck = self.list.entries[at].op;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register of small numbers: the object on which the search is compared with brute force.
    struct Register;

    #[derive(Debug, Clone, Copy)]
    enum Op {
        Write(u8),
        Read(u8),
        /// Sets it if it holds the first number; nobody can tell whether it did.
        MaybeSwap(u8, u8),
    }

    impl Spec for Register {
        type State = u8;
        type Op = Op;

        fn step(&self, state: &u8, op: &Op) -> Vec<u8> {
            match *op {
                Op::Write(value) => vec![value],
                Op::Read(value) => (value == *state).then_some(*state).into_iter().collect(),
                Op::MaybeSwap(from, to) if from == *state => vec![*state, to],
                Op::MaybeSwap(..) => vec![*state],
            }
        }
    }

    /// Tries every order.
    fn brute_force(ops: &[Interval<Op>], done: u32, state: u8) -> bool {
        let left = |n: &usize| done & (1 << n) == 0;
        let mut open = (0..ops.len()).filter(left);
        if open.clone().all(|n| ops[n].to.is_none()) {
            return true;
        }
        let first_return = (0..ops.len()).filter(left).filter_map(|n| ops[n].to).min().unwrap_or(u64::MAX);
        open.any(|n| {
            ops[n].from <= first_return
                && Register
                    .step(&state, &ops[n].op)
                    .into_iter()
                    .any(|after| brute_force(ops, done | 1 << n, after))
        })
    }

    /// Numbers that look random and are the same in every run: a linear congruential generator (Knuth's MMIX).
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }
    }

    fn history(draw: &mut Draw) -> Vec<Interval<Op>> {
        let count = 1 + draw.below(7);
        let op = |draw: &mut Draw| {
            let mut value = || u8::try_from(draw.below(3)).expect("below 3");
            let (one, other) = (value(), value());
            match draw.below(5) {
                0 | 1 => Op::Write(one),
                2 | 3 => Op::Read(one),
                _ => Op::MaybeSwap(one, other),
            }
        };
        let interval = |draw: &mut Draw| {
            let from = draw.below(12);
            let length = draw.below(6);
            Interval { from, to: (draw.below(6) > 0).then_some(from + length), op: op(draw) }
        };
        (0..count).map(|_| interval(draw)).collect()
    }

    #[test]
    fn the_search_agrees_with_brute_force_on_100_000_histories() {
        const HISTORIES: u32 = 100_000;
        let mut draw = Draw(20_261_124);
        let mut linearizable = 0;
        for number in 0..HISTORIES {
            let ops = history(&mut draw);
            let expected = brute_force(&ops, 0, 0);
            let found = search(&Register, 0, &ops, usize::MAX);
            assert_eq!(found == Found::Linearizable, expected, "history {number}: {ops:?}");
            linearizable += u32::from(expected);
        }
        // Neither answer may be the rule, or the comparison says little.
        assert!((HISTORIES / 5..HISTORIES * 4 / 5).contains(&linearizable), "{linearizable} of {HISTORIES}");
    }

    #[test]
    fn a_search_that_takes_too_long_says_so() {
        let ops: Vec<_> = (0..12).map(|n| Interval { from: 0, to: Some(9), op: Op::Write(n) }).collect();
        assert_eq!(search(&Register, 0, &ops, 3), Found::GaveUp);
    }

    #[test]
    fn the_counter_example_names_what_cannot_be_explained() {
        let op = |from, to, op| Interval { from, to: Some(to), op };
        let ops = [op(0, 1, Op::Write(1)), op(2, 3, Op::Read(1)), op(4, 5, Op::Read(2))];
        assert_eq!(search(&Register, 0, &ops, 100), Found::Not { explained: vec![0, 1], stuck: 2 });
    }
}
