//! From TOML values to typed ones, with errors that name the field by its path and list the known ones.

use std::fmt;

use serde::de::value::StringDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;
use toml::{Table, Value};

use super::{FieldError, words};

/// Reads a `T`.
///
/// # Errors
/// The first field that is unknown, missing or of a wrong type.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, FieldError> {
    read_by(value.clone(), T::deserialize).map_err(|error| narrowed::<T>(&value, error))
}

/// Fields by which a section says what others it holds. Where others are listed, serde has taken them away.
const TAGS: [&str; 2] = ["kind", "architecture"];

fn read_by<T>(value: Value, read: impl FnOnce(Node) -> Result<T, FieldError>) -> Result<T, FieldError> {
    let tag = TAGS.into_iter().find(|tag| value.get(tag).is_some());
    read(Node(value)).map_err(|mut error| {
        if let (Some(tag), FieldError::Unknown { field, known }) = (tag, &mut error)
            && !field.contains('.')
            && !known.iter().any(|name| name == tag)
        {
            known.insert(0, tag.into());
        }
        error
    })
}

/// Where such a field decides, an error names the section alone. The field that it is about is the one without which the error is another, or none.
fn narrowed<T: DeserializeOwned>(value: &Value, error: FieldError) -> FieldError {
    let FieldError::Invalid { field: section, reason } = &error else { return error };
    let is_it = |name: &String| {
        let mut without = value.clone();
        fields(&mut without, section).and_then(|fields| fields.remove(name));
        T::deserialize(Node(without)).err().as_ref() != Some(&error)
    };
    let names = |fields: &mut Table| fields.keys().cloned().collect();
    let names: Vec<String> = fields(&mut value.clone(), section).map(names).unwrap_or_default();
    let (tags, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| TAGS.contains(&name.as_str()));
    match others.into_iter().chain(tags).find(is_it) {
        Some(name) => FieldError::Invalid { field: name, reason: reason.clone() }.within(section),
        None => error,
    }
}

/// The fields of the section at a path; those of all where it is empty.
fn fields<'a>(value: &'a mut Value, path: &str) -> Option<&'a mut Table> {
    let names = path.split('.').filter(|name| !name.is_empty());
    names.fold(value.as_table_mut(), |table, name| table?.get_mut(name)?.as_table_mut())
}

impl de::Error for FieldError {
    fn custom<M: fmt::Display>(message: M) -> Self {
        Self::Invalid { field: String::new(), reason: message.to_string() }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("{} is wanted, not {}", words::wanted(expected), words::found(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("{} is wanted, not a list of length {length}", words::wanted(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::Unknown { field: field.into(), known: expected.iter().map(|name| (*name).into()).collect() }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!(
            "unknown {variant:?}{}; choose one of {}",
            super::suggestion(variant, expected),
            expected.join(", ")
        ))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Invalid { field: field.into(), reason: "must be given".into() }
    }
}

/// A value being read.
struct Node(Value);

impl<'de> de::Deserializer<'de> for Node {
    type Error = FieldError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::String(text) => visitor.visit_string(text),
            Value::Integer(number) => visitor.visit_i64(number),
            Value::Float(number) => visitor.visit_f64(number),
            Value::Boolean(truth) => visitor.visit_bool(truth),
            Value::Datetime(time) => visitor.visit_string(time.to_string()),
            Value::Array(items) => visitor.visit_seq(Items { items: items.into_iter(), index: 0 }),
            Value::Table(table) => visitor.visit_map(Fields { fields: table.into_iter(), current: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(IntoDeserializer::<FieldError>::into_deserializer(text)),
            other => Err(de::Error::custom(format_args!("a text is wanted, not {other}"))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, FieldError> {
        self.deserialize_map(visitor)
    }

    /// Of a list, fields would be taken by their order.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, FieldError> {
        match self.0 {
            Value::Table(_) => self.deserialize_any(visitor),
            other => Err(de::Error::custom(format_args!("a section is wanted, {{ FIELD = VALUE, … }}, not {other}"))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct identifier ignored_any
    }
}

/// The fields of a table, one by one.
struct Fields {
    fields: toml::map::IntoIter<String, Value>,
    current: Option<(String, Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        self.current = self.fields.next();
        let Some((name, _)) = &self.current else { return Ok(None) };
        let name: StringDeserializer<FieldError> = name.clone().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let Some((name, value)) = self.current.take() else {
            return Err(de::Error::custom("a value was asked for before its name"));
        };
        read_by(value, |node| seed.deserialize(node)).map_err(|error| error.within(&name))
    }
}

/// The items of an array, one by one.
struct Items {
    items: std::vec::IntoIter<Value>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = FieldError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, FieldError> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let name = self.index.to_string();
        self.index += 1;
        seed.deserialize(Node(item)).map(Some).map_err(|error| error.within(&name))
    }
}
