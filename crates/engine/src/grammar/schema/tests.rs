//! What of a schema is taken, bounded and refused.

use super::*;

fn refusal(schema: Value) -> String {
    let error = checked(&schema).expect_err(&schema.to_string());
    assert!(matches!(error, EngineError::Format(_)));
    error.to_string()
}

#[test]
fn keywords_are_refused_by_name_and_place() {
    for keyword in [
        "not",
        "if",
        "contains",
        "propertyNames",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "unevaluatedProperties",
        "$dynamicRef",
    ] {
        let schema = json!({"properties": {"a/b": {"anyOf": [true, {keyword: {"x": ["y"]}}]}}});
        let error = refusal(schema);
        let place = "`#/properties/a~1b/anyOf/1`";
        assert!(
            error.contains(&format!("`{keyword}` at {place}")),
            "{error}"
        );
        // The same words as a name, or as a value, are no keyword.
        let schema = json!({"properties": {keyword: {"const": {keyword: true}}}, "title": keyword});
        assert_eq!(checked(&schema).expect("a schema"), schema);
    }
    assert!(refusal(json!({"uniqueItems": true})).contains("`uniqueItems` at `#`"));
    assert!(refusal(json!({"format": "iri"})).contains("`format` at `#`: `iri`"));
    assert!(refusal(json!({"$ref": "https://example.com"})).contains("`$ref`"));
    assert!(refusal(json!({"$ref": "#/$defs/a"})).contains("no schema at `#/$defs/a`"));
    assert!(refusal(json!({"properties": {"a": 1}})).contains("`#/properties/a`"));
}

#[test]
fn what_asks_for_nothing_is_left_out() {
    let schema = json!({"uniqueItems": false, "propertyNames": true, "type": "array", "x-guidance": {"lenient": true}});
    assert_eq!(
        checked(&schema).expect("a schema"),
        json!({"type": "array"})
    );
    assert_eq!(checked(&json!(true)).expect("a schema"), json!({}));
    let schema = json!({"$defs": {"a b/c": {"type": "null"}}, "$ref": "#/$defs/a%20b~1c"});
    assert_eq!(checked(&schema).expect("a schema"), schema);
}

#[test]
fn numbers_stay_where_they_are_exact() {
    let schema = json!({"minimum": -1e300, "maximum": 1e18, "maxLength": 1e9, "minItems": 2.0});
    let expected = json!({"minimum": -9007199254740992.0, "maximum": 9007199254740992.0, "maxLength": 10000, "minItems": 2});
    assert_eq!(checked(&schema).expect("a schema"), expected);
    assert!(refusal(json!({"minimum": 1e18})).contains("`minimum`"));
    assert!(refusal(json!({"const": 9007199254740993u64})).contains("`const`"));
    assert!(refusal(json!({"enum": [[{"a": -9007199254740993i64}]]})).contains("`enum`"));
    assert!(refusal(json!({"minItems": 100000})).contains("`minItems`"));
    assert!(refusal(json!({"minLength": -1})).contains("`minLength`"));
    assert!(refusal(json!({"minProperties": 2})).contains("`minProperties`"));
    assert!(checked(&json!({"minProperties": 2, "required": ["a"]})).is_ok());
    let two = json!({"allOf": [{"multipleOf": 99999}, {"multipleOf": 100000}]});
    assert!(refusal(two).contains("`multipleOf` at `#/allOf/1`"));
    assert!(checked(&json!({"anyOf": [{"multipleOf": 0.5}, {"multipleOf": 0.25}]})).is_ok());
}

#[test]
fn size_is_bounded() {
    let mut deep = json!({});
    for _ in 0..200 {
        deep = json!({"items": deep});
    }
    assert!(refusal(deep).contains("nested too deeply"));
    let mut deep = json!({});
    for _ in 0..60 {
        deep = json!({"items": deep});
    }
    assert!(refusal(deep).contains("inside each other"));
    let long = json!({"enum": ["x".repeat(MAX_BYTES)]});
    assert!(refusal(long).contains("larger than"));
    let many: Vec<bool> = vec![true; MAX_SCHEMAS];
    assert!(refusal(json!({"anyOf": many})).contains("schemas in it"));
    let values: Vec<u8> = vec![1; MAX_VALUES + 1];
    assert!(refusal(json!({"enum": values})).contains("too many"));
    let pattern = "a".repeat(MAX_PATTERN + 1);
    assert!(refusal(json!({"pattern": pattern.as_str()})).contains("`pattern`"));
    assert!(refusal(json!({"patternProperties": {pattern: true}})).contains("too long"));
}
