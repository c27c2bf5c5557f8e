//! The figures below an answer.

use ponder_engine::{ReasoningEnd, Summary, VoteSummary};

use super::clean;

/// One line on what the answer cost.
pub(crate) fn stats_line(summary: &Summary, votes: Option<&VoteSummary>) -> String {
    let (usage, timings) = (&summary.usage, &summary.timings);
    let mut parts = vec![format!("{} tokens", usage.completion_tokens)];
    if timings.decode_tps > 0.0 {
        parts.push(format!("{:.1} tok/s", timings.decode_tps));
    }
    parts.push(format!("first token {:.2} s", timings.ttft_s));
    if usage.reasoning_tokens > 0 {
        if let Some(ttfo_s) = timings.ttfo_s {
            parts.push(format!("first word {ttfo_s:.2} s"));
        }
        let share = percent(usage.reasoning_tokens, usage.completion_tokens);
        let ended = summary.reasoning_ended_by.and_then(ended_by);
        parts.push(match ended {
            Some(why) => format!("thinking {share} %, {why}"),
            None => format!("thinking {share} %"),
        });
    }
    if usage.probe_tokens > 0 {
        parts.push(format!("{} tokens probed", usage.probe_tokens));
    }
    parts.extend(votes.map(votes_line));
    parts.join(" · ")
}

/// How a vote went: `5 of 8 votes for 391, 2 for 392`.
fn votes_line(votes: &VoteSummary) -> String {
    let Some(winner) = votes.tally.first() else {
        return format!("none of {} answers can be compared", votes.asked);
    };
    let mut line = format!(
        "{} of {} votes for {}",
        winner.votes,
        votes.asked,
        clean(&winner.answer)
    );
    for other in &votes.tally[1..] {
        line += &format!(", {} for {}", other.votes, clean(&other.answer));
    }
    if votes.settled_early {
        line += ", settled early";
    }
    line
}

/// What the answers of a conversation cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    answers: usize,
    prompt_tokens: usize,
    cached_tokens: usize,
    completion_tokens: usize,
    reasoning_tokens: usize,
    probe_tokens: usize,
    /// How often thinking ended in each way, in the order of [`ENDS`].
    ended: [usize; ENDS.len()],
}

/// The ways in which thinking ends, and what is said of it in a list.
const ENDS: [(ReasoningEnd, &str); 6] = [
    (ReasoningEnd::Model, "by the model"),
    (ReasoningEnd::Budget, "by its budget"),
    (ReasoningEnd::Deadline, "by time"),
    (ReasoningEnd::EarlyExit, "early"),
    (ReasoningEnd::Loop, "in a loop"),
    (ReasoningEnd::User, "by you"),
];

/// What is said of a thought that the model did not end itself.
fn ended_by(end: ReasoningEnd) -> Option<&'static str> {
    match end {
        ReasoningEnd::Model => None,
        ReasoningEnd::Budget => Some("ended by its budget"),
        ReasoningEnd::Deadline => Some("ended by time"),
        ReasoningEnd::EarlyExit => Some("ended early"),
        ReasoningEnd::Loop => Some("ended in a loop"),
        ReasoningEnd::User => Some("ended by you"),
    }
}

impl Totals {
    /// Counts one more answer.
    pub(crate) fn add(&mut self, summary: &Summary) {
        let usage = &summary.usage;
        self.answers += 1;
        self.prompt_tokens += usage.prompt_tokens;
        self.cached_tokens += usage.cached_tokens;
        self.completion_tokens += usage.completion_tokens;
        self.reasoning_tokens += usage.reasoning_tokens;
        self.probe_tokens += usage.probe_tokens;
        for (n, (end, _)) in self.ended.iter_mut().zip(ENDS) {
            *n += usize::from(summary.reasoning_ended_by == Some(end));
        }
    }

    /// One line for `/stats`.
    pub(crate) fn line(&self) -> String {
        let mut line = format!(
            "{} answers · {} tokens read, {} of them from the cache · {} tokens written, {} % thinking",
            self.answers,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
            percent(self.reasoning_tokens, self.completion_tokens),
        );
        let ended = self.ended.iter().zip(ENDS).filter(|(n, _)| **n > 0);
        let ended: Vec<String> = ended.map(|(n, (_, how))| format!("{n} {how}")).collect();
        if !ended.is_empty() {
            line += &format!(" · thoughts ended: {}", ended.join(", "));
        }
        if self.probe_tokens > 0 {
            line += &format!(" · {} tokens probed", self.probe_tokens);
        }
        line
    }
}

/// The share in whole percent, 0 of nothing.
fn percent(part: usize, whole: usize) -> usize {
    (part * 100 + whole / 2).checked_div(whole).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use ponder_engine::VoteCount;

    use super::*;
    use crate::render::events::stopped_summary;

    #[test]
    fn lines_say_what_there_is() {
        let mut summary = stopped_summary();
        summary.usage.completion_tokens = 8;
        summary.timings.decode_tps = 31.26;
        summary.timings.ttft_s = 0.125;
        let line = stats_line(&summary, None);
        assert_eq!(line, "8 tokens · 31.3 tok/s · first token 0.12 s");
        summary.usage.reasoning_tokens = 3;
        summary.timings.ttfo_s = Some(2.0);
        let line = stats_line(&summary, None);
        assert!(
            line.ends_with("first word 2.00 s · thinking 38 %"),
            "{line}"
        );
        let count = |answer: &str, votes| VoteCount {
            answer: answer.to_owned(),
            votes,
            weight: votes as f64,
        };
        let votes = VoteSummary {
            asked: 8,
            complete: 6,
            tally: vec![count("391", 5), count("392", 1)],
            agreement: 5.0 / 6.0,
            settled_early: true,
        };
        let line = stats_line(&summary, Some(&votes));
        assert!(
            line.ends_with("5 of 8 votes for 391, 1 for 392, settled early"),
            "{line}"
        );
        let mut totals = Totals::default();
        assert!(totals.line().ends_with("0 tokens written, 0 % thinking"));
        totals.add(&summary);
        totals.add(&summary);
        assert!(totals.line().starts_with("2 answers"));
        assert!(totals.line().ends_with("16 tokens written, 38 % thinking"));
        summary.reasoning_ended_by = Some(ReasoningEnd::Loop);
        summary.usage.probe_tokens = 9;
        totals.add(&summary);
        let line = totals.line();
        assert!(
            line.ends_with(" · thoughts ended: 1 in a loop · 9 tokens probed"),
            "{line}"
        );
        let line = stats_line(&summary, None);
        assert!(
            line.ends_with("thinking 38 %, ended in a loop · 9 tokens probed"),
            "{line}"
        );
    }
}
