//! Server-sent events: bytes in, data out.

/// What has come of the line that is under way.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The data of all lines that the bytes complete. Comments and other fields are left out.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.rest.extend_from_slice(bytes);
        let mut data = Vec::new();
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            if let Some(value) = line.trim_end().strip_prefix("data:") {
                data.push(value.trim_start().to_owned());
            }
        }
        data
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
                .flat_map(|bytes| lines.push(bytes))
                .collect();
            assert_eq!(found, ["{\"a\":\"ä\"}", "2", "[DONE]"], "{size}");
        }
    }
}
