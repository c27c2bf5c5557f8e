//! Server-sent events: bytes in, data out.

/// Bytes of a line, at most.
const MOST_BYTES: usize = 16 << 20;

/// What has come of the line that is under way.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
    n_data: usize,
}

impl Lines {
    /// The data of all lines that the bytes complete. Comments and other fields are left out.
    ///
    /// # Errors
    /// When a line has no end.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<String>, String> {
        let mut data = Vec::new();
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.rest.extend_from_slice(part);
            if self.rest.len() > MOST_BYTES {
                return Err("a line of the answer has no end".to_owned());
            }
            if part.ends_with(b"\n") {
                let line = String::from_utf8_lossy(&self.rest);
                if let Some(value) = line.trim_end().strip_prefix("data:") {
                    data.push(value.trim_start().to_owned());
                }
                self.rest.clear();
            }
        }
        self.n_data += data.len();
        Ok(data)
    }

    /// Lines of data so far.
    pub(super) fn n_data(&self) -> usize {
        self.n_data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_together_however_they_are_cut() {
        let text = ": hello\r\n\r\ndata: {\"a\":\"ä\"}\r\n\r\nevent: x\ndata:2\n\ndata: [DONE]\n\n";
        for size in [1, 2, 3, 7, 200] {
            let mut lines = Lines::default();
            let found: Vec<_> = text
                .as_bytes()
                .chunks(size)
                .flat_map(|bytes| lines.push(bytes).expect("short lines"))
                .collect();
            assert_eq!(found, ["{\"a\":\"ä\"}", "2", "[DONE]"], "{size}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut lines = Lines::default();
        let bytes = vec![b'x'; 1 << 20];
        let found = (0..20).map(|_| lines.push(&bytes)).find(Result::is_err);
        assert!(found.is_some() && lines.rest.len() <= MOST_BYTES + bytes.len());
    }
}
