//! Formats of texts, as regular expressions that no reader of the format refuses.

use serde_json::{Map, Value, json};

/// Formats that are kept to.
pub(super) const FORMATS: [&str; 10] = [
    "date-time",
    "date",
    "time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uuid",
    "uri",
];

/// A day of the calendar, leap days in leap years.
const DATE: &str = concat!(
    "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])",
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))",
    "|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
);
/// A time without leap seconds, which come on some days only.
const TIME: &str = concat!(
    "(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\\.[0-9]{1,9})?",
    "(?:[zZ]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
);
/// A name of machines, short enough for any reader.
const HOST: &str = concat!(
    "[A-Za-z](?:-?[A-Za-z0-9]){0,30}",
    "(?:\\.[A-Za-z](?:-?[A-Za-z0-9]){0,30}){0,3}"
);
const LOCAL: &str =
    "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(?:\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}){0,2}";
/// A character of a path.
const PATH: &str = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})";

/// The regular expression of a format of which the library takes more than every reader does.
fn pattern(format: &str) -> Option<String> {
    let inner = match format {
        "date" => DATE.to_owned(),
        "time" => TIME.to_owned(),
        "date-time" => format!("{DATE}[tT]{TIME}"),
        "hostname" => HOST.to_owned(),
        "email" => format!("{LOCAL}@{HOST}"),
        "uri" => format!(
            "[A-Za-z][A-Za-z0-9+.-]{{0,15}}:(?://{HOST}(?::[1-9][0-9]{{0,3}})?(?:/{PATH}*)*|{PATH}+(?:/{PATH}*)*)(?:\\?(?:{PATH}|[/?])*)?(?:#(?:{PATH}|[/?])*)?"
        ),
        _ => return None,
    };
    Some(format!("^(?:{inner})$"))
}

/// Says the same of a schema by regular expressions.
pub(super) fn spell_out(map: &mut Map<String, Value>) {
    let Some(pattern) = map.get("format").and_then(Value::as_str).and_then(pattern) else {
        return;
    };
    map.remove("format");
    if !map.contains_key("pattern") {
        map.insert("pattern".to_owned(), json!(pattern));
        return;
    }
    let all = map.entry("allOf").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        all.push(json!({"pattern": pattern}));
    }
}
