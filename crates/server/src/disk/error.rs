//! What can go wrong on a disk, and what a client is told of it.

use std::io;

use axum::http::StatusCode;
use thiserror::Error;

use crate::http::ApiError;

/// Why something could not be kept.
#[derive(Debug, Error)]
pub(crate) enum DiskError {
    #[error("no space is left in the server's data folder")]
    Full,
    #[error("another server works in this data folder (hint: give each its own with --data-dir)")]
    InUse,
    #[error("the server has no data folder (hint: start it with --data-dir)")]
    NoFolder,
    #[error("the data folder cannot be used: {0}")]
    Io(io::Error),
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full,
            _ => Self::Io(error),
        }
    }
}

impl From<DiskError> for ApiError {
    fn from(error: DiskError) -> Self {
        match &error {
            DiskError::Full => Self::internal(error.to_string())
                .with_status(StatusCode::INSUFFICIENT_STORAGE)
                .with_code("insufficient_storage"),
            DiskError::InUse | DiskError::NoFolder => {
                Self::unavailable(error.to_string()).with_code("no_data_folder")
            }
            DiskError::Io(source) => {
                // Paths of this machine are for the log, not for clients.
                tracing::error!(%source, "the data folder");
                Self::internal("The server's data folder cannot be used; its log says why.")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_a_status_of_its_own() {
        let full = DiskError::from(io::Error::from(io::ErrorKind::StorageFull));
        let error = ApiError::from(full);
        assert_eq!(error.status, StatusCode::INSUFFICIENT_STORAGE);
        assert_eq!(error.code, Some("insufficient_storage"));
        let other = DiskError::from(io::Error::other("/secret/place"));
        assert!(!ApiError::from(other).message.contains("secret"));
    }
}
