//! Where values lie: in blocks, so that no growth copies them all, and a block that has run empty is given back.

use core::num::NonZeroU32;
use std::collections::BTreeSet;

/// Values in one block: 72 KiB of live tasks.
const BLOCK_LEN: usize = 1024;

/// Place of a value in its slab; half as long as a pointer. Another value may have it once this one is removed.
///
/// Which slot a task gets depends on the node's history (a rebuilt state is packed anew). So no slot may be seen in a
/// reply, an event or a change, nor decide about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot(NonZeroU32);

impl Slot {
    fn new(block: usize, offset: usize) -> Self {
        let index = u32::try_from(block * BLOCK_LEN + offset + 1).expect("a slab has fewer than 2^32 values");
        Self(NonZeroU32::new(index).expect("it was counted from 1"))
    }

    /// Its number, which is never 0.
    pub(super) const fn number(self) -> u32 {
        self.0.get()
    }

    const fn place(self) -> (usize, usize) {
        let index = self.0.get() as usize - 1;
        (index / BLOCK_LEN, index % BLOCK_LEN)
    }
}

/// Values, each in a slot of its own.
#[derive(Debug, Clone)]
pub(crate) struct Slab<T> {
    blocks: Vec<Block<T>>,
    /// Blocks with room for another value. The first one is filled first, so that the last ones run empty.
    roomy: BTreeSet<usize>,
    /// Number of blocks that hold memory but no value. One is kept, so that a slab that grows and shrinks by one
    /// value does not allocate and free a block each time.
    idle: usize,
    len: usize,
}

/// A run of values. One that was given back holds no memory.
#[derive(Debug, Clone)]
struct Block<T> {
    values: Vec<Option<T>>,
    vacant: Vec<u16>,
}

impl<T> Block<T> {
    const fn new() -> Self {
        Self { values: Vec::new(), vacant: Vec::new() }
    }

    const fn len(&self) -> usize {
        self.values.len() - self.vacant.len()
    }

    fn insert(&mut self, value: T) -> usize {
        if let Some(vacant) = self.vacant.pop() {
            let offset = usize::from(vacant);
            self.values[offset] = Some(value);
            return offset;
        }
        self.values.reserve_exact(BLOCK_LEN - self.values.len());
        self.values.push(Some(value));
        self.values.len() - 1
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { blocks: Vec::new(), roomy: BTreeSet::new(), idle: 0, len: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn get(&self, slot: Slot) -> &T {
        let (block, offset) = slot.place();
        self.blocks[block].values[offset].as_ref().expect("no slot is kept longer than its value")
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut T {
        let (block, offset) = slot.place();
        self.blocks[block].values[offset].as_mut().expect("no slot is kept longer than its value")
    }

    /// Every value, in an order that means nothing.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        self.blocks.iter().enumerate().flat_map(|(number, block)| {
            let values = block.values.iter().enumerate();
            values.filter_map(move |(offset, value)| Some((Slot::new(number, offset), value.as_ref()?)))
        })
    }

    pub(crate) fn insert(&mut self, value: T) -> Slot {
        let number = self.roomy.first().copied().unwrap_or_else(|| self.add_block());
        let block = &mut self.blocks[number];
        if block.len() == 0 && block.values.capacity() > 0 {
            self.idle -= 1;
        }
        let offset = block.insert(value);
        if block.len() == BLOCK_LEN {
            self.roomy.remove(&number);
        }
        self.len += 1;
        Slot::new(number, offset)
    }

    fn add_block(&mut self) -> usize {
        let number = self.blocks.len();
        self.blocks.push(Block::new());
        self.roomy.insert(number);
        number
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> T {
        let (number, offset) = slot.place();
        let block = &mut self.blocks[number];
        let value = block.values[offset].take().expect("no slot is kept longer than its value");
        block.vacant.push(u16::try_from(offset).expect("a block is shorter than 2^16"));
        self.len -= 1;
        if block.len() + 1 == BLOCK_LEN {
            self.roomy.insert(number);
        }
        if block.len() == 0 {
            self.leave_idle(number);
        }
        value
    }

    fn leave_idle(&mut self, number: usize) {
        if self.idle == 0 {
            self.idle = 1;
        } else {
            self.blocks[number] = Block::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks_with_memory<T>(slab: &Slab<T>) -> usize {
        slab.blocks.iter().filter(|block| block.values.capacity() > 0).count()
    }

    #[test]
    fn a_value_is_found_in_its_slot_until_it_is_removed() {
        let mut slab = Slab::default();
        let slots: Vec<Slot> = (0..5000).map(|n| slab.insert(n)).collect();
        let odd = slots.iter().skip(1).step_by(2);
        let removed: Vec<i32> = odd.map(|slot| slab.remove(*slot)).collect();
        assert!(removed.into_iter().eq((1..5000).step_by(2)));
        assert!(slots.iter().step_by(2).map(|slot| *slab.get(*slot)).eq((0..5000).step_by(2)));
        assert!(slab.iter().map(|(_, n)| *n).eq((0..5000).step_by(2)));
    }

    #[test]
    fn room_that_became_free_is_used_again() {
        let mut slab = Slab::default();
        let slots: Vec<Slot> = (0..3 * BLOCK_LEN).map(|n| slab.insert(n)).collect();
        for slot in &slots[..2 * BLOCK_LEN] {
            slab.remove(*slot);
        }
        for n in 0..2 * BLOCK_LEN {
            slab.insert(n);
        }
        assert_eq!((slab.len(), slab.blocks.len()), (3 * BLOCK_LEN, 3));
    }

    #[test]
    fn memory_is_given_back_but_for_one_block() {
        let mut slab = Slab::default();
        let slots: Vec<Slot> = (0..10 * BLOCK_LEN).map(|n| slab.insert(n)).collect();
        assert_eq!(blocks_with_memory(&slab), 10);
        for slot in slots {
            slab.remove(slot);
        }
        assert_eq!((slab.len(), blocks_with_memory(&slab)), (0, 1));
        let slot = slab.insert(7);
        assert_eq!((slab.remove(slot), blocks_with_memory(&slab)), (7, 1));
    }
}
