//! The figures below an answer.

use ponder_engine::Summary;

/// One line on what the answer cost.
pub(crate) fn stats_line(summary: &Summary) -> String {
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
        parts.push(format!("thinking {share} %"));
    }
    parts.join(" · ")
}

/// What the answers of a conversation cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    answers: usize,
    prompt_tokens: usize,
    cached_tokens: usize,
    completion_tokens: usize,
    reasoning_tokens: usize,
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
    }

    /// One line for `/stats`.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} answers · {} tokens read, {} of them from the cache · {} tokens written, {} % thinking",
            self.answers,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
            percent(self.reasoning_tokens, self.completion_tokens),
        )
    }
}

/// The share in whole percent, 0 of nothing.
fn percent(part: usize, whole: usize) -> usize {
    (part * 100 + whole / 2).checked_div(whole).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::events::stopped_summary;

    #[test]
    fn lines_say_what_there_is() {
        let mut summary = stopped_summary();
        summary.usage.completion_tokens = 8;
        summary.timings.decode_tps = 31.26;
        summary.timings.ttft_s = 0.125;
        let line = stats_line(&summary);
        assert_eq!(line, "8 tokens · 31.3 tok/s · first token 0.12 s");
        summary.usage.reasoning_tokens = 3;
        summary.timings.ttfo_s = Some(2.0);
        let line = stats_line(&summary);
        assert!(
            line.ends_with("first word 2.00 s · thinking 38 %"),
            "{line}"
        );
        let mut totals = Totals::default();
        assert!(totals.line().ends_with("0 tokens written, 0 % thinking"));
        totals.add(&summary);
        totals.add(&summary);
        assert!(totals.line().starts_with("2 answers"));
        assert!(totals.line().ends_with("16 tokens written, 38 % thinking"));
    }
}
