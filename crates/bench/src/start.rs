//! How warm things are when the clock starts. Rows of different temperature are never mixed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The temperature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The model is loaded and has answered before.
    #[default]
    Warm,
    /// A new process; the model's files are in the page cache.
    ColdProcess,
    /// A new process; the model's files have been dropped from the page cache.
    ColdDisk,
}

impl Start {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Warm, Self::ColdProcess, Self::ColdDisk];

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::ColdProcess => "cold-process",
            Self::ColdDisk => "cold-disk",
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|start| start.name() == text);
        found.ok_or_else(|| format!("expected {}", Self::ALL.map(Self::name).join(", ")))
    }
}
