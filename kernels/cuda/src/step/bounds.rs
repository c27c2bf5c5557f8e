use super::StepSpan;

/// Rows up to which a span's keys are split among blocks of threads, whatever their number.
const SHORT_ROWS: usize = 8;
/// The same where it has so many keys that going through them at one place takes long.
const SHORT_ROWS_OF_LONG_TEXT: usize = 64;
const LONG_TEXT: usize = 512;

/// The sizes that launches are made for: at least those of the step. A captured launch does every
/// step that its bounds [cover](Self::covers).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StepBounds {
    /// Rows.
    pub n_rows: usize,
    /// Spans of few rows, whose keys are split.
    pub n_short: usize,
    /// Rows of such a span.
    pub short_rows: usize,
    /// Positions up to the last row of such a span.
    pub short_len: usize,
    /// Spans of many rows.
    pub n_long: usize,
    /// Rows of such a span.
    pub long_rows: usize,
}

impl StepBounds {
    /// Steps of up to `n_spans` spans, each of up to `rows_per_span` rows, at positions below
    /// `max_len`.
    ///
    /// # Panics
    /// If these are more rows than are few.
    pub fn decode(n_spans: usize, rows_per_span: usize, max_len: usize) -> Self {
        assert!(rows_per_span <= SHORT_ROWS, "{rows_per_span} rows are many");
        Self {
            n_rows: n_spans * rows_per_span,
            n_short: n_spans,
            short_rows: rows_per_span,
            short_len: max_len,
            ..Self::default()
        }
    }

    /// Whether launches with these bounds do a step with the others.
    pub fn covers(&self, others: &Self) -> bool {
        self.n_rows >= others.n_rows
            && self.n_short >= others.n_short
            && self.short_rows >= others.short_rows
            && self.short_len >= others.short_len
            && self.n_long >= others.n_long
            && self.long_rows >= others.long_rows
    }

    pub(super) fn of(spans: &[StepSpan], n_rows: usize) -> Self {
        let mut bounds = Self {
            n_rows,
            ..Self::default()
        };
        for span in spans {
            if is_short(span) {
                bounds.n_short += 1;
                bounds.short_rows = bounds.short_rows.max(span.n_rows);
                bounds.short_len = bounds.short_len.max(span.position + span.n_rows);
            } else {
                bounds.n_long += 1;
                bounds.long_rows = bounds.long_rows.max(span.n_rows);
            }
        }
        bounds
    }

    pub(crate) fn n_spans(&self) -> usize {
        self.n_short + self.n_long
    }

    pub(crate) fn rows_per_span(&self) -> usize {
        self.short_rows.max(self.long_rows)
    }
}

/// Whether the keys of a span are split. It depends on the span alone, so that others do not change
/// its sums.
pub(super) fn is_short(span: &StepSpan) -> bool {
    let is_long_text = span.position + span.n_rows >= LONG_TEXT;
    span.n_rows <= SHORT_ROWS || is_long_text && span.n_rows <= SHORT_ROWS_OF_LONG_TEXT
}
