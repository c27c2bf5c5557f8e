//! What a backend is told: how much to hold, and what to copy.

/// Work for a backend before the next forward pass, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheCopy {
    /// Copy one block of every layer in a group.
    Block {
        /// Index into [`CachePlan::groups`](super::CachePlan::groups).
        group: usize,
        /// Source block.
        from: u32,
        /// Destination block.
        to: u32,
    },
    /// Copy the recurrent state of every recurrent layer.
    Slot {
        /// Source slot.
        from: u32,
        /// Destination slot.
        to: u32,
    },
    /// Copy one block of every layer in a group to where blocks are kept that the backend's own memory
    /// has no room for.
    KeepBlock {
        /// Index into [`CachePlan::groups`](super::CachePlan::groups).
        group: usize,
        /// Source block.
        from: u32,
        /// Destination, a kept block.
        to: u32,
    },
    /// Copy one block of every layer in a group back.
    RestoreBlock {
        /// Index into [`CachePlan::groups`](super::CachePlan::groups).
        group: usize,
        /// Source, a kept block.
        from: u32,
        /// Destination block.
        to: u32,
    },
    /// Copy the recurrent state of every recurrent layer to where states are kept.
    KeepSlot {
        /// Source slot.
        from: u32,
        /// Destination, a kept slot.
        to: u32,
    },
    /// Copy the recurrent state of every recurrent layer back.
    RestoreSlot {
        /// Source, a kept slot.
        from: u32,
        /// Destination slot.
        to: u32,
    },
    /// Set the recurrent state of every recurrent layer to zero.
    ClearSlot {
        /// The slot that a new sequence starts from.
        slot: u32,
    },
}

/// The bounds of a cache: indices of blocks and slots are below these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheCapacity {
    /// Blocks of each group.
    pub n_blocks: usize,
    /// Slots of recurrent state.
    pub n_slots: usize,
    /// Blocks of each group that are kept in other memory than the backend's own.
    pub n_kept_blocks: usize,
    /// Slots that are.
    pub n_kept_slots: usize,
}
