//! The time that a template sees through `strftime_now`.

use std::fmt::Write;
use std::str::FromStr;

use chrono::NaiveDateTime;
use chrono::format::StrftimeItems;

/// A local date and time without a zone, as `datetime.now()` gives it in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime(NaiveDateTime);

impl LocalTime {
    /// The machine's local time now.
    pub fn now() -> Self {
        Self(chrono::Local::now().naive_local())
    }

    /// Formats like `strftime`; a specifier that is not known stays as it is, as in the C library.
    pub fn strftime(&self, format: &str) -> String {
        let mut out = String::new();
        let items = StrftimeItems::new_lenient(format);
        if write!(out, "{}", self.0.format_with_items(items)).is_err() {
            // Only a time zone fails here, which a local time has none of.
            return format.to_owned();
        }
        out
    }
}

impl FromStr for LocalTime {
    type Err = InvalidTime;

    /// Reads `2026-01-15T12:34:56`, with or without a fraction of a second.
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        text.parse()
            .map(Self)
            .map_err(|_| InvalidTime(text.to_owned()))
    }
}

/// Text that is not a date and time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0:?} is not a date and time (hint: write it like 2026-01-15T12:34:56)")]
pub struct InvalidTime(String);

#[cfg(test)]
mod tests {
    use super::LocalTime;

    #[test]
    fn formats_as_python_does() {
        let time: LocalTime = "2026-01-05T02:04:06".parse().unwrap();
        assert_eq!(time.strftime("%d %b %Y"), "05 Jan 2026");
        assert_eq!(
            time.strftime("%A, %B %-d %I:%M:%S %p %j"),
            "Monday, January 5 02:04:06 AM 005"
        );
        assert_eq!(time.strftime("100%% %Q"), "100% %Q");
        assert_eq!(time.strftime("%Z"), "%Z");
        assert!("yesterday".parse::<LocalTime>().is_err());
    }
}
