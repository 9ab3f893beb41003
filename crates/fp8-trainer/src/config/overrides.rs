//! `--set key=value`: single fields of a configuration from the command line.

use toml::{Table, Value};

use super::FieldError;

/// Parts of a path, at most.
const DEEPEST: usize = 16;

/// Sets the field at the dotted path `KEY` of `KEY=VALUE`. The value is TOML (`0.1`, `[30, 60]`, `{ kind = "cosine" }`);
/// what is not is taken as text, so that texts need no quotes. Another `kind` takes the section's other fields with it, as they belong to
/// the old one.
///
/// # Errors
/// When there is no `=`, a part of the path is empty, there are too many parts, or a part other than the last is no table.
pub fn set(document: &mut Table, assignment: &str) -> Result<(), FieldError> {
    let invalid = |field: &str, reason: &str| FieldError::Invalid { field: field.into(), reason: reason.into() };
    let Some((path, value)) = assignment.split_once('=') else {
        return Err(invalid(assignment, "KEY=VALUE is wanted"));
    };
    let path = path.trim();
    if path.split('.').any(str::is_empty) {
        return Err(invalid(path, "a part of the path is empty"));
    }
    // What is nested without end would be read, and dropped, by recursion without end.
    if path.split('.').count() > DEEPEST {
        return Err(invalid(path.split('.').next().unwrap_or(path), "no field lies so deep"));
    }
    let (sections, name) = path.rsplit_once('.').map_or((None, path), |(sections, name)| (Some(sections), name));
    let mut table = document;
    for section in sections.into_iter().flat_map(|sections| sections.split('.')) {
        let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().ok_or_else(|| invalid(path, &format!("{section:?} is not a section")))?;
    }
    let value = parse(value.trim());
    if name == "kind" && table.get(name) != Some(&value) {
        table.clear();
    }
    table.insert(name.into(), value);
    Ok(())
}

fn parse(text: &str) -> Value {
    let document: Result<Table, _> = format!("value = {text}").parse();
    match document {
        Ok(mut table) if table.len() == 1 => table.remove("value").unwrap_or_else(|| text.into()),
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type() {
        let mut document: Table = "[training]\nepochs = 3\nbatch = 8".parse().unwrap();
        for assignment in [
            "training.epochs=90",
            "recipe=fp8-rne",
            "data.folder=data/cifar10",
            "schedule = {kind = \"step\", milestones = [30, 60]}",
            "loader.augment=false",
        ] {
            set(&mut document, assignment).unwrap();
        }
        let expected: Table =
            "recipe = 'fp8-rne'\n[training]\nepochs = 90\nbatch = 8\n[data]\nfolder = 'data/cifar10'\n\
             [schedule]\nkind = 'step'\nmilestones = [30, 60]\n[loader]\naugment = false"
                .parse()
                .unwrap();
        assert_eq!(document, expected);
    }

    #[test]
    fn another_kind_begins_anew() {
        let mut document: Table = "[data]\nkind = 'generated'\nsize = 16".parse().unwrap();
        set(&mut document, "data.kind=generated").unwrap();
        assert_eq!(document["data"]["size"].as_integer(), Some(16));
        set(&mut document, "data.kind=cifar10").unwrap();
        assert_eq!(document, "[data]\nkind = 'cifar10'".parse::<Table>().unwrap());
    }

    #[test]
    fn mistakes() {
        let mut document: Table = "seed = 3".parse().unwrap();
        for assignment in ["epochs", "=3", "training.=3", ".epochs=3", "seed.low=3"] {
            set(&mut document, assignment).unwrap_err();
        }
        let deep = format!("{}b=1", "a.".repeat(100_000));
        assert!(matches!(set(&mut document, &deep), Err(FieldError::Invalid { field, .. }) if field == "a"));
        assert_eq!(document, "seed = 3".parse::<Table>().unwrap());
    }
}
