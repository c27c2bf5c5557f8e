//! Looking up the beginning of a prompt.

use super::{Node, Tree};
use crate::cache::{BLOCK_LEN, store::NONE, table::first_block};

/// How much of a prompt is there.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cache) struct Found {
    /// Tokens.
    pub(in crate::cache) len: usize,
    /// The last node that is used whole, or [`NONE`].
    pub(in crate::cache) node: u32,
    /// The node of which only the first tokens are used, or [`NONE`].
    pub(in crate::cache) part: u32,
}

impl Found {
    /// Nothing of a prompt.
    pub(in crate::cache) const NOTHING: Self = Self {
        len: 0,
        node: NONE,
        part: NONE,
    };

    /// The last node of which anything is used, or [`NONE`].
    pub(in crate::cache) fn end(&self) -> u32 {
        match self.part {
            NONE => self.node,
            part => part,
        }
    }
}

impl Tree {
    /// The nodes from a root to `end`, which is a node or [`NONE`].
    pub(in crate::cache) fn path(&self, end: u32) -> Vec<u32> {
        let mut path = Vec::new();
        let mut node = end;
        while node != NONE {
            path.push(node);
            node = self.parent(node);
        }
        path.reverse();
        path
    }

    /// The child with exactly these tokens.
    pub(in crate::cache) fn child(
        &self,
        parent: u32,
        planned_len: usize,
        tokens: &[u32],
    ) -> Option<u32> {
        self.children(parent).iter().copied().find(|&child| {
            let child = self.node(child);
            child.planned_len == planned_len && child.tokens() == tokens
        })
    }

    /// The child that begins with most of `tokens`, and with how many. A recurrent state is that
    /// after a node's last token, so there the whole child must fit.
    fn nearest(&self, parent: u32, planned_len: usize, tokens: &[u32]) -> Option<(u32, usize)> {
        let common = |&child: &u32| {
            let node = self.node(child);
            let same = node.tokens().iter().zip(tokens).take_while(|(a, b)| a == b);
            let same = same.count();
            let fits = !self.is_recurrent || (node.has_state() && same == node.n_tokens);
            (fits && same > 0 && node.planned_len == planned_len).then_some((child, same))
        };
        let children = self.children(parent).iter().filter_map(common);
        children.max_by_key(|&(_, common)| common)
    }

    /// The longest beginning of a text that can be taken up: windows have the blocks that they still
    /// need, here or, `with_kept`, elsewhere, and recurrent layers have their state.
    pub(in crate::cache) fn find(
        &self,
        prompt: &[u32],
        planned_len: usize,
        with_kept: bool,
    ) -> Found {
        let mut path: Vec<u32> = Vec::new();
        let mut node = NONE;
        while let Some(tokens) = prompt[path.len() * BLOCK_LEN..].get(..BLOCK_LEN) {
            let Some(child) = self.child(node, planned_len, tokens) else {
                break;
            };
            path.push(child);
            node = child;
        }
        let rest = &prompt[path.len() * BLOCK_LEN..];
        if let Some((part, common)) = self.nearest(node, planned_len, rest) {
            let len = path.len() * BLOCK_LEN + common;
            path.push(part);
            if self.can_resume(&path, len, with_kept) {
                return Found { len, node, part };
            }
            path.pop();
        }
        while let Some(&node) = path.last() {
            let len = path.len() * BLOCK_LEN;
            if self.can_resume(&path, len, with_kept) {
                let part = NONE;
                return Found { len, node, part };
            }
            path.pop();
        }
        Found::NOTHING
    }

    /// Whether a sequence can go on after `len` tokens, the last of which are in the path's end.
    fn can_resume(&self, path: &[u32], len: usize, with_kept: bool) -> bool {
        let has_blocks = self.windows.iter().enumerate().all(|(group, &window)| {
            let needed = &path[first_block(window, len).min(path.len())..];
            needed.iter().all(|&node| {
                let is_kept = with_kept && self.node(node).kept[group] != NONE;
                is_kept || self.block(node, group).is_some()
            })
        });
        let end = path.last().map(|&node| self.node(node));
        has_blocks && (!self.is_recurrent || end.is_some_and(Node::has_state))
    }
}
