//! What a value is and what is wanted in its place, in words rather than in serde's.

use std::borrow::Cow;

use serde::de::{Expected, Unexpected};

/// What a type asks for.
pub fn wanted(expected: &dyn Expected) -> Cow<'static, str> {
    let name = expected.to_string();
    Cow::Borrowed(match name.as_str() {
        "u64" | "usize" => "a whole number from 0 on",
        "u32" => "a whole number from 0 to 4294967295",
        "u16" => "a whole number from 0 to 65535",
        "u8" => "a whole number from 0 to 255",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "path string" | "variant identifier" | "string or map" => "a text",
        "a sequence" => "a list",
        "a map" => "a section",
        "a tuple of size 2" => "a pair",
        section if section.starts_with("struct ") => "a section",
        _ => return Cow::Owned(name),
    })
}

/// What was found.
pub fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(truth) => truth.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a section".into(),
        other => other.to_string(),
    }
}
