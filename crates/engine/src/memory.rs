//! How large the cache may become.

use std::path::Path;

use ponder_runtime::cache::CachePlan;

/// Tokens that a cache holds at least, however little memory there is: less is of no use.
const MIN_TOKENS: usize = 2048;

/// Bytes to be had where the system does not say.
const UNKNOWN_MEMORY: u64 = 4 << 30;

/// Tokens that all sequences together may have in the cache, where nobody said how many: as many as
/// the sequences could use, but half of the memory that the weights leave at most. A context that
/// was asked for by number always fits once.
pub(crate) fn cache_tokens(
    plan: &CachePlan,
    bytes_of_32: usize,
    bytes_left: u64,
    context: Option<usize>,
    trained_context: usize,
    max_sequences: usize,
) -> usize {
    let tokens = tokens_in(bytes_left / 2, plan, bytes_of_32);
    let least = least_tokens(context, trained_context);
    let most = context
        .unwrap_or(trained_context)
        .saturating_mul(max_sequences);
    tokens.clamp(least, most.max(least))
}

/// Tokens that a cache has at least, where nobody said how many.
pub(crate) fn least_tokens(context: Option<usize>, trained_context: usize) -> usize {
    context.unwrap_or(MIN_TOKENS.min(trained_context))
}

/// Tokens that fit into `bytes`. Windows count as if they were never full: a bound is a bound.
fn tokens_in(bytes: u64, plan: &CachePlan, bytes_of_32: usize) -> usize {
    let per_token = plan.bytes_per_token(bytes_of_32);
    let tokens = bytes.checked_div(per_token).unwrap_or(u64::MAX);
    usize::try_from(tokens).unwrap_or(usize::MAX)
}

/// Memory that can be had without swapping: what the system says, or the limit of the control group
/// if that is less.
pub(crate) fn available_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let system = meminfo(&read("/proc/meminfo")).unwrap_or(UNKNOWN_MEMORY);
    // "max" where there is no limit.
    let number = |path: &str| read(path).trim().parse::<u64>().ok();
    let group = number("/sys/fs/cgroup/memory.max")
        .map(|limit| limit.saturating_sub(number("/sys/fs/cgroup/memory.current").unwrap_or(0)));
    group.map_or(system, |group| group.min(system))
}

/// `MemAvailable` of Linux, in bytes.
fn meminfo(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use ponder_runtime::cache::{KvGroup, KvShape};

    use super::*;

    fn plan() -> CachePlan {
        CachePlan {
            layers: Vec::new(),
            groups: vec![KvGroup {
                window: None,
                shapes: vec![
                    KvShape {
                        n_heads: 1,
                        head_dim: 64
                    };
                    10
                ],
            }],
            recurrent: Vec::new(),
        }
    }

    #[test]
    fn memory_is_read_as_linux_writes_it() {
        let text = "MemTotal:       16384 kB\nMemAvailable:    8192 kB\n";
        assert_eq!(meminfo(text), Some(8 << 20));
        assert_eq!(meminfo("MemTotal: 1 kB\n"), None);
    }

    #[test]
    fn tokens_fill_the_memory() {
        assert_eq!(tokens_in(1 << 20, &plan(), 128), (1 << 20) / (128 * 10 * 4));
        assert_eq!(tokens_in(1 << 20, &plan(), 18), (1 << 20) / (4 * 18 * 10));
        let none = CachePlan {
            groups: Vec::new(),
            ..plan()
        };
        assert_eq!(tokens_in(1, &none, 128), usize::MAX);
    }

    #[test]
    fn a_context_that_was_asked_for_always_fits_and_no_more_than_is_of_use() {
        let tokens = |context, left| cache_tokens(&plan(), 128, left, context, 1 << 40, 4);
        assert_eq!(tokens(None, 0), MIN_TOKENS);
        assert_eq!(tokens(Some(100_000), 0), 100_000);
        assert_eq!(tokens(Some(10), 1 << 40), 40);
    }
}
