//! What an answer is held to.

use super::{
    Grammars, Mask,
    compile::Compiled,
    digits::{Digits, Where},
};
use crate::EngineError;

/// What a request asks of an answer.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// What the answer must be, unless it is calls.
    pub(super) document: Option<Compiled>,
    /// Calls that may come, or must where there is no other answer.
    pub(super) calls: Option<Calls>,
    /// An answer may be any text.
    pub(super) is_free: bool,
    /// No call is to begin.
    pub(super) bans_calls: bool,
}

/// How calls are written, their opening marker included.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    pub(super) grammar: Compiled,
    /// A text that begins with a brace is a call.
    pub(super) is_bare: bool,
    /// Where their numbers stand.
    pub(super) numbers: Where,
}

impl Rules {
    pub(super) fn document_digits(&self) -> Digits {
        let is_json = self
            .document
            .as_ref()
            .is_some_and(|document| document.is_json);
        Digits::new(if is_json { Where::Json } else { Where::Nowhere })
    }

    pub(super) fn call_digits(&self) -> Digits {
        Digits::new(
            self.calls
                .as_ref()
                .map_or(Where::Nowhere, |calls| calls.numbers),
        )
    }

    /// Fills the mask of a text that may be anything, of which so many bytes may become the marker of
    /// a call; whether it leaves anything out.
    pub(super) fn free(
        &self,
        grammars: &Grammars,
        marker_bytes: usize,
        is_fresh: bool,
        mask: &mut Mask,
    ) -> Result<bool, EngineError> {
        let never = match &grammars.leads.calls {
            Some(marker) if self.bans_calls => marker.completing(marker_bytes),
            // The grammar begins right behind the marker.
            Some(marker) if self.calls.is_some() => marker.beyond(marker_bytes),
            _ => &[],
        };
        let bare = self
            .calls
            .as_ref()
            .filter(|calls| calls.is_bare && is_fresh);
        if never.is_empty() && bare.is_none() {
            return Ok(false);
        }
        mask.fill(true);
        if let Some(calls) = bare {
            grammars.words.braces.iter().for_each(|&id| mask.remove(id));
            calls.grammar.machine.clone().allow(mask)?;
        }
        never.iter().for_each(|&id| mask.remove(id));
        Ok(true)
    }
}
