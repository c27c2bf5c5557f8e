//! [`Constraint`]: where one answer stands, and what may come next.

use std::sync::Arc;

use super::{Grammars, Machine, Mask, compile::Compiled, digits::Digits, lead::To, machine::stuck};
use crate::EngineError;

/// Holds one answer to its format. A clone goes on by itself.
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    grammars: Arc<Grammars>,
    /// What the answer must be.
    document: Compiled,
    phase: Phase,
    mask: Mask,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Inside a thought, at the end of which so many bytes may become the close marker.
    Thought { marker_bytes: usize },
    /// Before the answer.
    Lead(Box<Lead>),
    /// Inside the answer.
    Inside(Box<Inside>),
    /// The answer is complete, and nothing can follow it.
    Over,
}

/// What has been written before the answer.
#[derive(Clone, Debug)]
struct Lead {
    /// Ways that are open, with what is written of each.
    ways: Vec<(usize, usize)>,
    /// Bytes of white space that may come; none where a way has begun.
    blank: usize,
    /// The answer, which may have begun as well; `None` where it cannot stand here.
    document: Option<Machine>,
}

#[derive(Clone, Debug)]
struct Inside {
    machine: Machine,
    digits: Option<Digits>,
    has_begun: bool,
}

impl Constraint {
    /// The constraint of an answer that stands behind a prompt.
    /// Without a prompt's text, it begins at once.
    pub(super) fn new(
        grammars: &Arc<Grammars>,
        document: Compiled,
        prompt: Option<&str>,
        in_thought: bool,
    ) -> Self {
        let mut constraint = Self {
            grammars: Arc::clone(grammars),
            mask: Mask::none(grammars.words.len()),
            document,
            phase: Phase::Over,
        };
        let leads = &grammars.leads;
        constraint.phase = match prompt {
            _ if in_thought => Phase::Thought { marker_bytes: 0 },
            Some(prompt) if !leads.is_in_body(prompt) => constraint.lead(leads.written(prompt)),
            _ => Phase::Inside(Box::new(constraint.begin())),
        };
        constraint
    }

    /// Tokens that it takes to open a thought, at most.
    pub(crate) fn opening_tokens(&self) -> usize {
        self.grammars.leads.opening_tokens()
    }

    /// The tokens that may come next; `None`: all of them. `may_think`: a thought may be opened.
    pub(crate) fn mask(&mut self, may_think: bool) -> Result<Option<&[u32]>, EngineError> {
        let Grammars { words, leads, .. } = &*self.grammars;
        let mask = &mut self.mask;
        mask.fill(false);
        match &mut self.phase {
            Phase::Thought { marker_bytes } => {
                let beyond = leads.beyond_close(*marker_bytes);
                if beyond.is_empty() {
                    return Ok(None);
                }
                mask.fill(true);
                beyond.iter().for_each(|&id| mask.remove(id));
            }
            Phase::Lead(lead) => {
                let leads_on = |&&(way, _): &&(usize, usize)| leads.ways[way].to != To::Thought;
                let is_thought =
                    lead.document.is_none() && !lead.ways.iter().any(|way| leads_on(&way));
                for &(way, at) in &lead.ways {
                    // What has begun as nothing but a thought becomes one.
                    if may_think || is_thought || leads_on(&&(way, at)) {
                        let steps = leads.ways[way].steps(at);
                        steps.iter().for_each(|&id| mask.insert(id));
                    }
                }
                for &id in &words.blank {
                    if words.bytes(id).len() <= lead.blank {
                        mask.insert(id);
                    }
                }
                if let Some(document) = &mut lead.document {
                    document.allow(mask)?;
                }
            }
            Phase::Inside(inside) => {
                inside.machine.allow(mask)?;
                if let Some(digits) = &inside.digits {
                    digits.limit(&self.grammars.digits, mask);
                }
            }
            Phase::Over => words.stop.iter().for_each(|&id| mask.insert(id)),
        }
        if mask.is_empty() {
            return Err(stuck());
        }
        Ok(Some(mask.words()))
    }

    /// Takes a token that does not end the turn. `is_forced`: it came whatever may come. Returns
    /// whether the answer begins with it, from where on markers are text.
    pub(crate) fn accept(&mut self, token: u32, is_forced: bool) -> Result<bool, EngineError> {
        match &mut self.phase {
            Phase::Thought { .. } | Phase::Over => Ok(false),
            Phase::Lead(_) => self.accept_lead(token, is_forced),
            Phase::Inside(inside) => {
                if !inside.machine.try_accept(token)? {
                    return Err(stuck());
                }
                if let Some(digits) = &mut inside.digits {
                    digits.push(self.grammars.words.bytes(token));
                }
                let begins = !std::mem::replace(&mut inside.has_begun, true);
                if inside.machine.is_over() {
                    self.phase = Phase::Over;
                }
                Ok(begins)
            }
        }
    }

    fn accept_lead(&mut self, token: u32, is_forced: bool) -> Result<bool, EngineError> {
        let Phase::Lead(lead) = &mut self.phase else {
            return Ok(false);
        };
        let grammars = Arc::clone(&self.grammars);
        let bytes = grammars.words.bytes(token);
        let ways = &grammars.leads.ways;
        let open = lead.ways.iter().filter_map(|&(way, at)| {
            let at = ways[way].advance(at, bytes)?;
            Some((way, at))
        });
        let open: Vec<(usize, usize)> = open.collect();
        if let Some(&(way, _)) = open.iter().find(|&&(way, at)| ways[way].is_complete(at)) {
            self.phase = match ways[way].to {
                To::Thought => Phase::Thought { marker_bytes: 0 },
                To::Answer => Phase::Inside(Box::new(self.begin())),
                To::Start => self.lead(None),
            };
            return Ok(false);
        }
        let is_blank = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_whitespace);
        if open.is_empty() && is_blank && (bytes.len() <= lead.blank || is_forced) {
            lead.blank = lead.blank.saturating_sub(bytes.len());
            return Ok(false);
        }
        let mut document = lead.document.take();
        if let Some(machine) = &mut document
            && (is_forced || !machine.try_accept(token)?)
        {
            document = None;
        }
        match (open.is_empty(), document) {
            (true, None) if is_forced => self.phase = self.lead(None),
            (true, None) => return Err(stuck()),
            (true, Some(machine)) => {
                let mut inside = self.begin();
                if let Some(digits) = &mut inside.digits {
                    digits.push(bytes);
                }
                inside.has_begun = true;
                inside.machine = machine;
                let is_over = inside.machine.is_over();
                self.phase = match is_over {
                    true => Phase::Over,
                    false => Phase::Inside(Box::new(inside)),
                };
                return Ok(true);
            }
            (false, document) => {
                **lead = Lead {
                    ways: open,
                    blank: 0,
                    document,
                };
            }
        }
        Ok(false)
    }

    /// The text stands here behind a token: inside a thought or not, so many bytes into its marker.
    pub(crate) fn stand(&mut self, token: u32, in_thought: bool, marker_bytes: usize) {
        match (&self.phase, in_thought) {
            (_, true) => self.phase = Phase::Thought { marker_bytes },
            (Phase::Thought { .. }, false) => {
                let words = self.grammars.words.bytes(token);
                self.phase = self.lead(self.grammars.leads.opened_by(words));
            }
            _ => {}
        }
    }

    /// Whether the text stands inside the answer, which is not to be cut there.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.phase, Phase::Inside(_))
    }

    /// Whether the answer is complete.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// The answer at its beginning.
    fn begin(&self) -> Inside {
        Inside {
            machine: self.document.machine.clone(),
            digits: self.document.is_json.then(Digits::default),
            has_begun: false,
        }
    }

    /// What stands before the answer, of which `written` is there.
    fn lead(&self, written: Option<Vec<(usize, usize)>>) -> Phase {
        let leads = &self.grammars.leads;
        let is_begun = written.is_some();
        let all = || (0..leads.ways.len()).map(|way| (way, 0)).collect();
        let blank = match is_begun || leads.has_headers || self.document.begins_blank {
            true => 0,
            false => leads.blank,
        };
        Phase::Lead(Box::new(Lead {
            ways: written.unwrap_or_else(all),
            blank,
            document: (!leads.has_headers).then(|| self.document.machine.clone()),
        }))
    }
}
