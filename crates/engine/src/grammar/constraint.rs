//! [`Constraint`]: where one answer stands, and what may come next.

use std::sync::Arc;

use super::{
    Grammars, Machine, Mask, Rules,
    compile::Compiled,
    digits::Digits,
    lead::{To, Way},
    machine::stuck,
};
use crate::EngineError;

/// Holds one answer to its format, and its calls to the tools that may be called. A clone goes on by
/// itself.
#[derive(Clone, Debug)]
pub(crate) struct Constraint {
    grammars: Arc<Grammars>,
    rules: Rules,
    phase: Phase,
    mask: Mask,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Inside a thought, at the end of which so many bytes may become the close marker.
    Thought { marker_bytes: usize },
    /// Before the answer.
    Lead(Box<Lead>),
    /// Inside an answer that is as the model likes, at the end of which so many bytes may become the
    /// marker of a call. `is_fresh`: nothing of it is there yet.
    Free { marker_bytes: usize, is_fresh: bool },
    /// Inside a document, or inside calls.
    Inside(Box<Inside>),
    /// The answer is complete, and nothing can follow it.
    Over,
}

/// What has been written before the answer.
#[derive(Clone, Debug)]
struct Lead {
    /// Behind the role in a header.
    in_header: bool,
    /// Ways that are open, with what is written of each.
    ways: Vec<(usize, usize)>,
    /// Bytes of white space that may come; none where anything has begun.
    blank: usize,
    /// The document, which may have begun as well; `None` where it cannot stand here.
    document: Option<Machine>,
    /// The same of calls.
    calls: Option<Machine>,
}

#[derive(Clone, Debug)]
struct Inside {
    machine: Machine,
    digits: Digits,
    is_document: bool,
    has_begun: bool,
}

impl Constraint {
    /// The constraint of an answer that stands behind a prompt. Without the prompt's text, it begins at
    /// once.
    pub(super) fn new(
        grammars: &Arc<Grammars>,
        rules: Rules,
        prompt: Option<&str>,
        in_thought: bool,
    ) -> Self {
        let mut constraint = Self {
            grammars: Arc::clone(grammars),
            mask: Mask::none(grammars.words.len()),
            rules,
            phase: Phase::Over,
        };
        let leads = &grammars.leads;
        constraint.phase = match prompt {
            _ if in_thought => Phase::Thought { marker_bytes: 0 },
            Some(prompt) if !leads.is_in_body(prompt) => match leads.in_header(prompt) {
                Some(written) => constraint.lead(true, written),
                None => constraint.start(),
            },
            _ => constraint.answer(),
        };
        constraint
    }

    /// Tokens that it takes to open a thought, at most.
    pub(crate) fn opening_tokens(&self) -> usize {
        self.grammars.leads.opening_tokens()
    }

    /// The tokens that may come next; `None`: all of them. `may_think`: a thought may be opened.
    pub(crate) fn mask(&mut self, may_think: bool) -> Result<Option<&[u32]>, EngineError> {
        let grammars = Arc::clone(&self.grammars);
        let mask = &mut self.mask;
        mask.fill(false);
        match &mut self.phase {
            Phase::Thought { marker_bytes } => {
                let close = grammars.leads.close.as_ref();
                let never = close.map_or(&[][..], |close| close.beyond(*marker_bytes));
                if never.is_empty() {
                    return Ok(None);
                }
                mask.fill(true);
                never.iter().for_each(|&id| mask.remove(id));
            }
            Phase::Free {
                marker_bytes,
                is_fresh,
            } => {
                if !self.rules.free(&grammars, *marker_bytes, *is_fresh, mask)? {
                    return Ok(None);
                }
            }
            Phase::Lead(lead) => lead.allow(&grammars, may_think, mask)?,
            Phase::Inside(inside) => {
                inside.machine.allow(mask)?;
                inside.digits.limit(&grammars.digits, mask);
            }
            Phase::Over => grammars.words.stop.iter().for_each(|&id| mask.insert(id)),
        }
        if mask.is_empty() {
            return Err(stuck());
        }
        Ok(Some(mask.words()))
    }

    /// Takes a token that does not end the turn. `is_forced`: it came whatever may come. Returns
    /// whether a document begins with it, from where on markers are text.
    pub(crate) fn accept(&mut self, token: u32, is_forced: bool) -> Result<bool, EngineError> {
        match &mut self.phase {
            Phase::Thought { .. } | Phase::Over => Ok(false),
            Phase::Lead(_) => self.accept_lead(token, is_forced),
            Phase::Free { .. } => self.accept_free(token),
            Phase::Inside(inside) => {
                if !inside.machine.try_accept(token)? {
                    return Err(stuck());
                }
                inside.digits.push(self.grammars.words.bytes(token));
                let begins = !std::mem::replace(&mut inside.has_begun, true) && inside.is_document;
                if inside.machine.is_over() {
                    self.phase = Phase::Over;
                }
                Ok(begins)
            }
        }
    }

    fn accept_free(&mut self, token: u32) -> Result<bool, EngineError> {
        let grammars = Arc::clone(&self.grammars);
        let bytes = grammars.words.bytes(token);
        let Phase::Free {
            marker_bytes,
            is_fresh,
        } = &mut self.phase
        else {
            return Ok(false);
        };
        if grammars.leads.ends_message(bytes) {
            self.phase = self.behind(token);
            return Ok(false);
        }
        let calls = grammars.leads.calls.as_ref();
        *marker_bytes = calls.map_or(0, |calls| calls.advance(*marker_bytes, bytes));
        let text = bytes.trim_ascii_start();
        let is_bare = *is_fresh && text.starts_with(b"{");
        *is_fresh &= text.is_empty();
        if is_bare && let Some(calls) = self.rules.calls.as_ref().filter(|calls| calls.is_bare) {
            let mut machine = calls.grammar.machine.clone();
            if machine.try_accept(token)? {
                self.enter(machine, false, bytes);
            }
        }
        Ok(false)
    }

    fn accept_lead(&mut self, token: u32, is_forced: bool) -> Result<bool, EngineError> {
        let grammars = Arc::clone(&self.grammars);
        let bytes = grammars.words.bytes(token);
        let Phase::Lead(lead) = &mut self.phase else {
            return Ok(false);
        };
        let ways = lead.known(&grammars);
        let open = lead.ways.iter().filter_map(|&(way, at)| {
            let at = ways[way].advance(at, bytes)?;
            Some((way, at))
        });
        let open: Vec<(usize, usize)> = open.collect();
        if let Some(&(way, _)) = open.iter().find(|&&(way, at)| ways[way].is_complete(at)) {
            self.phase = match ways[way].to {
                To::Thought => Phase::Thought { marker_bytes: 0 },
                To::Answer => self.answer(),
                To::Aside => Phase::free(),
                To::Header => self.lead(true, Vec::new()),
                To::Start => self.start(),
            };
            return Ok(false);
        }
        let is_blank = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_whitespace);
        if open.is_empty() && is_blank && (bytes.len() <= lead.blank || is_forced) {
            lead.blank = lead.blank.saturating_sub(bytes.len());
            return Ok(false);
        }
        let going_on = |machine: &mut Option<Machine>| -> Result<(), EngineError> {
            if let Some(inner) = machine
                && (is_forced || !inner.try_accept(token)?)
            {
                *machine = None;
            }
            Ok(())
        };
        going_on(&mut lead.document)?;
        going_on(&mut lead.calls)?;
        let machines = (lead.document.take(), lead.calls.take());
        match (open.is_empty(), machines) {
            (true, (None, None)) if is_forced => self.phase = self.start(),
            (true, (None, None)) => return Err(stuck()),
            (true, (Some(machine), None)) => {
                self.enter(machine, true, bytes);
                return Ok(true);
            }
            (true, (None, Some(machine))) => self.enter(machine, false, bytes),
            (_, (document, calls)) => {
                **lead = Lead {
                    in_header: lead.in_header,
                    ways: open,
                    blank: 0,
                    document,
                    calls,
                };
            }
        }
        Ok(false)
    }

    /// The text stands here behind a token: inside a thought or not, so many bytes into its marker,
    /// inside a call or not.
    pub(crate) fn stand(
        &mut self,
        token: u32,
        in_thought: bool,
        marker_bytes: usize,
        in_call: bool,
    ) -> Result<(), EngineError> {
        match (&self.phase, in_thought) {
            (_, true) => self.phase = Phase::Thought { marker_bytes },
            (Phase::Thought { .. }, false) => self.phase = self.behind(token),
            (Phase::Free { .. }, false) if in_call => self.begin_calls()?,
            _ => {}
        }
        Ok(())
    }

    /// The marker of calls has just come.
    fn begin_calls(&mut self) -> Result<(), EngineError> {
        let grammars = Arc::clone(&self.grammars);
        let (Some(calls), Some(marker)) = (&self.rules.calls, &grammars.leads.calls) else {
            return Ok(());
        };
        let mut machine = calls.grammar.machine.clone();
        for &token in &marker.tokens {
            if !machine.try_accept(token)? {
                return Err(stuck());
            }
        }
        self.enter(machine, false, &[]);
        Ok(())
    }

    /// Whether the text stands inside a document or a call, which is not to be cut there.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.phase, Phase::Inside(_))
    }

    /// Whether the answer is complete.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Goes on inside a document or calls, behind their first token.
    fn enter(&mut self, machine: Machine, is_document: bool, bytes: &[u8]) {
        let digits = match is_document {
            true => self.rules.document_digits(),
            false => self.rules.call_digits(),
        };
        let mut inside = Inside {
            machine,
            digits,
            is_document,
            has_begun: true,
        };
        inside.digits.push(bytes);
        self.phase = match inside.machine.is_over() {
            true => Phase::Over,
            false => Phase::Inside(Box::new(inside)),
        };
    }

    /// The answer at its beginning.
    fn answer(&self) -> Phase {
        let Some(document) = &self.rules.document else {
            return Phase::free();
        };
        Phase::Inside(Box::new(Inside {
            machine: document.machine.clone(),
            digits: self.rules.document_digits(),
            is_document: true,
            has_begun: false,
        }))
    }

    /// Before an answer.
    fn start(&self) -> Phase {
        match self.rules.is_free && !self.grammars.leads.has_headers {
            true => Phase::free(),
            false => self.lead(false, Vec::new()),
        }
    }

    /// Behind a thought or a message that a token has ended.
    fn behind(&self, token: u32) -> Phase {
        let leads = &self.grammars.leads;
        match leads.opened_by(self.grammars.words.bytes(token)) {
            (_, written) if written.is_empty() => self.start(),
            (in_header, written) => self.lead(in_header, written),
        }
    }

    /// Before an answer, of which nothing, or `written` of its ways, is there.
    fn lead(&self, in_header: bool, written: Vec<(usize, usize)>) -> Phase {
        let (leads, rules) = (&self.grammars.leads, &self.rules);
        let all = if in_header {
            &leads.header
        } else {
            &leads.outside
        };
        let is_begun = written.iter().any(|&(_, at)| at > 0);
        let is_open = |&(way, _): &(usize, usize)| {
            // Without an answer that is a text, calls are all there is.
            match all[way].to {
                To::Answer => rules.document.is_some() || rules.is_free,
                To::Aside => rules.is_free,
                To::Thought | To::Header | To::Start => true,
            }
        };
        let ways = match written.is_empty() {
            true => (0..all.len()).map(|way| (way, 0)).collect(),
            false => written,
        };
        // A message holds an answer, or calls, only behind its header.
        let is_place = leads.has_headers == in_header && !is_begun;
        let begins_blank = |grammar: &Compiled| grammar.begins_blank;
        let blank = match leads.has_headers || rules.document.as_ref().is_some_and(begins_blank) {
            true => 0,
            false => leads.blank,
        };
        let document = rules.document.as_ref().filter(|_| !leads.has_headers);
        Phase::Lead(Box::new(Lead {
            in_header,
            ways: ways.into_iter().filter(is_open).collect(),
            blank,
            document: document.map(|document| document.machine.clone()),
            calls: rules
                .calls
                .as_ref()
                .filter(|_| is_place)
                .map(|calls| calls.grammar.machine.clone()),
        }))
    }
}

impl Phase {
    /// An answer as the model likes, at its beginning.
    fn free() -> Self {
        Self::Free {
            marker_bytes: 0,
            is_fresh: true,
        }
    }
}

impl Lead {
    /// The ways that its own count from.
    fn known<'a>(&self, grammars: &'a Grammars) -> &'a [Way] {
        match self.in_header {
            true => &grammars.leads.header,
            false => &grammars.leads.outside,
        }
    }

    /// Adds the tokens that may come next.
    fn allow(
        &mut self,
        grammars: &Grammars,
        may_think: bool,
        mask: &mut Mask,
    ) -> Result<(), EngineError> {
        let known = self.known(grammars);
        let is_thought = |&(way, _): &(usize, usize)| known[way].to == To::Thought;
        // What has begun as nothing but a thought becomes one.
        let machines = [&self.document, &self.calls];
        let is_nothing_else =
            machines.iter().all(|machine| machine.is_none()) && self.ways.iter().all(is_thought);
        for &(way, at) in &self.ways {
            if may_think || is_nothing_else || !is_thought(&(way, at)) {
                known[way].steps(at).iter().for_each(|&id| mask.insert(id));
            }
        }
        let words = &grammars.words;
        for &id in &words.blank {
            if words.bytes(id).len() <= self.blank {
                mask.insert(id);
            }
        }
        for machine in [&mut self.document, &mut self.calls].into_iter().flatten() {
            machine.allow(mask)?;
        }
        Ok(())
    }
}
