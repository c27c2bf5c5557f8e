//! An answer that is sent when it is complete.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::choice::Choice;
use super::response::{Cost, Header, end_fields, timings};
use crate::generate::Answers;
use crate::http::ApiError;

/// Reads all answers to their end.
pub(crate) async fn respond(header: &Header, mut answers: Answers) -> Result<Value, ApiError> {
    let mut choices: Vec<Choice> = (0..answers.n()).map(|_| Choice::default()).collect();
    while let Some((i, event)) = answers.next().await {
        choices[i].take(event?);
    }
    let mut cost = Cost::default();
    let summaries = choices.iter().filter_map(|choice| choice.summary.as_ref());
    summaries
        .clone()
        .for_each(|summary| cost.add(&summary.usage));
    let times = summaries.clone().next().map(timings);
    let choices = choices.into_iter().enumerate().map(json_of).collect();
    let mut object = header.object("chat.completion", choices);
    object.insert("usage".to_owned(), cost.json());
    object.insert("timings".to_owned(), json!(times));
    Ok(Value::Object(object))
}

fn json_of((index, choice): (usize, Choice)) -> Value {
    let has_calls = !choice.tool_calls.is_empty();
    let content = match choice.content.is_empty() && has_calls {
        true => Value::Null,
        false => json!(choice.content),
    };
    let mut message = json!({
        "role": "assistant",
        "content": content,
        "refusal": null,
        "annotations": [],
    });
    if !choice.reasoning.is_empty() {
        message["reasoning_content"] = json!(choice.reasoning);
        message["reasoning"] = json!(choice.reasoning);
    }
    if has_calls {
        message["tool_calls"] = json!(choice.tool_calls);
    }
    let logprobs = match choice.logprobs.is_empty() {
        true => Value::Null,
        false => json!({"content": choice.logprobs, "refusal": null}),
    };
    let mut object = json!({"index": index, "message": message, "logprobs": logprobs});
    end_fields(&choice, &mut object);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_calls_there_is_no_empty_text() {
        let call = json!({"id": "call_1", "type": "function",
                          "function": {"name": "f", "arguments": "{}"}});
        let mut with_call = Choice::default();
        with_call.tool_calls.push(call.clone());
        let message = json_of((0, with_call))["message"].clone();
        assert_eq!(message["content"], Value::Null);
        assert_eq!(message["tool_calls"], json!([call]));
        let silent = json_of((0, Choice::default()))["message"].clone();
        assert_eq!(silent["content"], "");
        assert!(silent.get("tool_calls").is_none());
    }
}
