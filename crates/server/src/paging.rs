//! [`Page`]: which part of a list a client asks for.

use serde_json::{Value, json};

use crate::http::ApiError;

/// The query of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page {
    /// Begin behind the thing of this name.
    pub(crate) after: Option<String>,
    /// How many at most.
    pub(crate) limit: Option<usize>,
    /// `desc`, newest first, which is the default, or `asc`.
    pub(crate) order: Option<String>,
}

/// The error of a query that says something that nobody reads.
pub(crate) fn unknown(name: &str) -> ApiError {
    let name: String = name.chars().take(100).collect();
    ApiError::bad_request(format!("Unknown query parameter: '{name}'."))
        .at(name)
        .with_code("unknown_parameter")
}

impl Page {
    /// Reads it from a query, of which the rest comes back.
    ///
    /// # Errors
    /// A limit that is no number.
    pub(crate) fn read(
        query: Vec<(String, String)>,
    ) -> Result<(Self, Vec<(String, String)>), ApiError> {
        let (mut page, mut rest) = (Self::default(), Vec::new());
        for (name, value) in query {
            match name.as_str() {
                "after" => page.after = Some(value),
                "order" => page.order = Some(value),
                "limit" => {
                    let number = value.parse();
                    let wrong = |_| ApiError::invalid("limit", "'limit' is a whole number.");
                    page.limit = Some(number.map_err(wrong)?);
                }
                _ => rest.push((name, value)),
            }
        }
        Ok((page, rest))
    }

    /// The part of `all`, oldest first, that is asked for, as a list object. `name` gives the name of
    /// one, `write` its JSON; `most`: how many a client may ask for, `usual`: how many it gets.
    ///
    /// # Errors
    /// An order or a limit that there is not, or a name that is not in the list.
    pub(crate) fn cut<T>(
        &self,
        mut all: Vec<T>,
        (usual, most): (usize, usize),
        name: impl Fn(&T) -> String,
        write: impl Fn(&T) -> Value,
    ) -> Result<Value, ApiError> {
        match self.order.as_deref() {
            None | Some("desc") => all.reverse(),
            Some("asc") => {}
            Some(_) => return Err(ApiError::invalid("order", "`order` is 'asc' or 'desc'.")),
        }
        let limit = self.limit.unwrap_or(usual);
        if !(1..=most).contains(&limit) {
            let message = format!("`limit` is a number from 1 to {most}.");
            return Err(ApiError::invalid("limit", message));
        }
        if let Some(after) = &self.after {
            let at = all.iter().position(|one| name(one) == *after);
            let at = at
                .ok_or_else(|| ApiError::invalid("after", "`after` names nothing in this list."))?;
            all.drain(..=at);
        }
        let has_more = all.len() > limit;
        all.truncate(limit);
        Ok(json!({
            "object": "list",
            "data": all.iter().map(&write).collect::<Vec<Value>>(),
            "first_id": all.first().map(&name),
            "last_id": all.last().map(&name),
            "has_more": has_more,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(page: &Page) -> Result<Value, ApiError> {
        page.cut(
            vec![1, 2, 3, 4, 5],
            (2, 4),
            |n| format!("n{n}"),
            |n| json!(n),
        )
    }

    fn page(after: Option<&str>, limit: Option<usize>, order: Option<&str>) -> Page {
        Page {
            after: after.map(str::to_owned),
            limit,
            order: order.map(str::to_owned),
        }
    }

    #[test]
    fn pages_follow_each_other() {
        let first = cut(&Page::default()).expect("a page");
        assert_eq!(first["data"], json!([5, 4]));
        assert_eq!(first["last_id"], "n4");
        assert_eq!(first["has_more"], true);
        let second = cut(&page(Some("n4"), Some(3), None)).expect("a page");
        assert_eq!(second["data"], json!([3, 2, 1]));
        assert_eq!(second["has_more"], false);
        let up = cut(&page(Some("n4"), None, Some("asc"))).expect("a page");
        assert_eq!(up["data"], json!([5]));
        let empty = cut(&page(Some("n5"), None, Some("asc"))).expect("a page");
        assert_eq!(empty["first_id"], Value::Null);
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused_by_name() {
        for (page, param) in [
            (page(None, Some(0), None), "limit"),
            (page(None, Some(5), None), "limit"),
            (page(None, None, Some("up")), "order"),
            (page(Some("n6"), None, None), "after"),
        ] {
            let error = cut(&page).expect_err("refused");
            assert_eq!(error.param.as_deref(), Some(param));
        }
    }
}
