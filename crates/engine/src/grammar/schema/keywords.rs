//! The keywords of JSON Schema, of all its drafts.

/// What a keyword's value is, and whether it is kept to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A schema.
    Schema,
    /// A list of schemas.
    Schemas,
    /// Schemas by name.
    Named,
    /// A value that is looked at.
    Value,
    /// A place in the schema.
    Reference,
    /// A number, or a type, that the library reads.
    Limit,
    /// It asks for something that a grammar cannot promise.
    Unsupported,
    /// It says nothing about documents, or is not of JSON Schema at all.
    Other,
}

pub(super) fn kind(keyword: &str) -> Kind {
    match keyword {
        "additionalProperties" | "additionalItems" => Kind::Schema,
        "items" | "prefixItems" | "allOf" | "anyOf" | "oneOf" => Kind::Schemas,
        "properties" | "patternProperties" | "$defs" | "definitions" => Kind::Named,
        "const" | "enum" | "pattern" | "format" => Kind::Value,
        "$ref" => Kind::Reference,
        "type" | "required" | "minItems" | "maxItems" | "minLength" | "maxLength"
        | "minProperties" | "maxProperties" | "minimum" | "maximum" | "exclusiveMinimum"
        | "exclusiveMaximum" | "multipleOf" => Kind::Limit,
        "not"
        | "if"
        | "then"
        | "else"
        | "contains"
        | "minContains"
        | "maxContains"
        | "uniqueItems"
        | "propertyNames"
        | "dependencies"
        | "dependentRequired"
        | "dependentSchemas"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "$dynamicRef"
        | "$dynamicAnchor"
        | "$recursiveRef"
        | "$recursiveAnchor"
        | "$vocabulary"
        | "extends"
        | "disallow"
        | "divisibleBy" => Kind::Unsupported,
        _ => Kind::Other,
    }
}
