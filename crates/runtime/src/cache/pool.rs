//! A fixed number of equal things, counted by reference.

/// Indices `0..capacity`, each free or held by one or more owners.
#[derive(Debug)]
pub(super) struct Pool {
    owners: Vec<u32>,
    free: Vec<u32>,
    capacity: usize,
}

impl Pool {
    /// A pool of `capacity` free indices. Memory is taken as indices come into use.
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            owners: Vec::new(),
            free: Vec::new(),
            capacity,
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn free(&self) -> usize {
        self.free.len() + (self.capacity - self.owners.len())
    }

    /// Takes a free index, the most recently released first: its memory is likeliest to be warm.
    pub(super) fn take(&mut self) -> Option<u32> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.owners.len() < self.capacity => {
                self.owners.push(0);
                u32::try_from(self.owners.len() - 1).ok()?
            }
            None => return None,
        };
        self.owners[index as usize] = 1;
        Some(index)
    }

    /// Adds an owner; returns how many there are now.
    pub(super) fn share(&mut self, index: u32) -> u32 {
        let owners = &mut self.owners[index as usize];
        *owners += 1;
        *owners
    }

    /// Owners of an index; 0: it is free.
    pub(super) fn owners(&self, index: u32) -> u32 {
        self.owners[index as usize]
    }

    /// Takes an owner away; returns how many are left.
    pub(super) fn release(&mut self, index: u32) -> u32 {
        let owners = &mut self.owners[index as usize];
        *owners -= 1;
        if *owners == 0 {
            self.free.push(index);
        }
        *owners
    }
}
