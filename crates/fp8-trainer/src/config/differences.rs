//! In which fields two configurations differ.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

/// What differs between two configurations in TOML: `NAME is A, not B`, by dotted names.
pub fn differences(a: &str, b: &str) -> Vec<String> {
    let [a, b] = [a, b].map(fields);
    let value = |fields: &BTreeMap<String, String>, name| fields.get(name).cloned().unwrap_or_else(|| "absent".into());
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).collect();
    names.into_iter().map(|name| format!("{name} is {}, not {}", value(&a, name), value(&b, name))).collect()
}

/// Dotted names and values. A text that is no TOML is one field.
fn fields(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    match text.parse::<Table>() {
        Ok(table) => add("", &table, &mut fields),
        Err(_) => _ = fields.insert("configuration".into(), text.into()),
    }
    fields
}

fn add(prefix: &str, table: &Table, fields: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        match value {
            Value::Table(table) => add(&format!("{prefix}{name}."), table, fields),
            value => _ = fields.insert(format!("{prefix}{name}"), value.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_by_their_sections() {
        let (a, b) = ("seed = 0\n[data]\nseed = 0\nsize = 8", "seed = 5\n[data]\nseed = 0");
        assert_eq!(differences(a, b), ["data.size is 8, not absent", "seed is 0, not 5"]);
        assert!(differences(a, a).is_empty());
        assert_eq!(differences("]", a).len(), 4);
    }
}
