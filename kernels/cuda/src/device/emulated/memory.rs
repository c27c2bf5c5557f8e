//! Memory that shows what is done beside it: pages that nobody may touch lie on both sides, and what
//! is left of the pages in between is checked.

use std::collections::BTreeMap;

/// Pages are never smaller.
const PAGE: usize = 4096;
/// What a device aligns memory to.
const ALIGNMENT: usize = 256;
/// What lies beside memory, and in it until it is written: NaN as a float.
const FILL: u8 = 0xff;

unsafe extern "C" {
    fn ponder_emulation_map(n_bytes: usize) -> *mut u8;
    fn ponder_emulation_watch(first_page: *mut u8, n_bytes: usize, begin: *mut u8, size: usize);
    fn ponder_emulation_unmap(begin: *mut u8, n_bytes: usize);
}

/// What is allocated, by address.
#[derive(Debug, Default)]
pub(super) struct Heap {
    allocations: BTreeMap<u64, Allocation>,
    used: usize,
}

#[derive(Debug)]
struct Allocation {
    len: usize,
    /// First byte of the pages, and how many bytes they have.
    begin: u64,
    n_mapped: usize,
}

impl Heap {
    pub(super) fn used(&self) -> usize {
        self.used
    }

    pub(super) fn contains(&self, address: u64) -> bool {
        self.allocations.contains_key(&address)
    }

    pub(super) fn alloc(&mut self, len: usize) -> Option<u64> {
        // At least some bytes, so that each has an address of its own.
        let room = len.max(1).next_multiple_of(ALIGNMENT);
        let n_mapped = room.next_multiple_of(PAGE);
        // SAFETY: any whole number of pages may be asked for.
        let begin = unsafe { ponder_emulation_map(n_mapped) };
        if begin.is_null() {
            return None;
        }
        // SAFETY: so many bytes were mapped, for writing.
        unsafe { begin.write_bytes(FILL, n_mapped) };
        // As near to the end of the pages as it can be: there most mistakes happen.
        let address = begin.wrapping_add(n_mapped - room);
        // SAFETY: the bytes lie in the pages, which were mapped just now.
        unsafe { ponder_emulation_watch(begin, n_mapped, address, len) };
        let (begin, address) = (begin as u64, address as u64);
        let allocation = Allocation {
            len,
            begin,
            n_mapped,
        };
        self.allocations.insert(address, allocation);
        self.used += len;
        Some(address)
    }

    pub(super) fn free(&mut self, address: u64) {
        if !std::thread::panicking() {
            self.check_one(address, "free");
        }
        let Some(allocation) = self.allocations.remove(&address) else {
            panic!("{address:#x} is not allocated");
        };
        self.used -= allocation.len;
        // SAFETY: it was mapped with this size, and nobody has the address any more.
        unsafe { ponder_emulation_unmap(allocation.begin as *mut u8, allocation.n_mapped) };
    }

    /// Panics where something was written beside memory.
    pub(super) fn check(&self, who: &str) {
        for &address in self.allocations.keys() {
            self.check_one(address, who);
        }
    }

    /// The same for the memory at an address.
    pub(super) fn check_one(&self, address: u64, who: &str) {
        let allocation = self.allocations.get(&address);
        let allocation =
            allocation.unwrap_or_else(|| panic!("{who}: {address:#x} is not allocated"));
        let before = (address - allocation.begin) as usize;
        let end = before + allocation.len;
        // SAFETY: the pages are mapped until the allocation is removed, and only written while the
        // heap is borrowed mutably or by a launch, which holds the lock of it.
        let pages = unsafe {
            std::slice::from_raw_parts(allocation.begin as *const u8, allocation.n_mapped)
        };
        for (place, beside) in [("before", &pages[..before]), ("behind", &pages[end..])] {
            let changed = beside.iter().filter(|&&byte| byte != FILL).count();
            assert!(
                changed == 0,
                "{who}: {changed} bytes {place} memory of {} bytes were written",
                allocation.len
            );
        }
    }

    pub(super) fn bytes(&self, address: u64, len: usize) -> &[u8] {
        self.assert_inside(address, len);
        // SAFETY: the bytes are allocated; they are written while the heap is borrowed mutably only.
        unsafe { std::slice::from_raw_parts(address as *const u8, len) }
    }

    pub(super) fn bytes_mut(&mut self, address: u64, len: usize) -> &mut [u8] {
        self.assert_inside(address, len);
        // SAFETY: the bytes are allocated, and the heap is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(address as *mut u8, len) }
    }

    pub(super) fn copy(&mut self, from: u64, to: u64, len: usize) {
        let gap = from.abs_diff(to) as usize;
        assert!(
            gap >= len,
            "a copy of {len} bytes to {gap} bytes from there"
        );
        let from = self.bytes(from, len).as_ptr();
        // SAFETY: both are allocated and do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from, self.bytes_mut(to, len).as_mut_ptr(), len) };
    }

    fn assert_inside(&self, address: u64, len: usize) {
        let allocation = self.allocations.range(..=address).next_back();
        let is_inside = allocation.is_some_and(|(&begin, allocation)| {
            address + len as u64 <= begin + allocation.len as u64
        });
        assert!(is_inside, "{len} bytes at {address:#x} are not allocated");
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        for allocation in self.allocations.values() {
            // SAFETY: it was mapped with this size; each memory holds its device, so that none is
            // left by now but after a panic.
            unsafe { ponder_emulation_unmap(allocation.begin as *mut u8, allocation.n_mapped) };
        }
    }
}
