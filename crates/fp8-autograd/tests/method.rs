//! docs/method.md says what the code does.

use fp8_autograd::{Recipe, table};

fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/method.md")).unwrap()
}

#[test]
fn the_table_of_recipes_is_current() {
    let recipes: Vec<Recipe> = Recipe::names().map(|name| Recipe::named(name).unwrap()).collect();
    assert!(document().contains(&table(&recipes)), "docs/method.md should have this table:\n{}", table(&recipes));
}

/// Each file named there exists, and each `file: name` of code or test stands in that file.
#[test]
fn code_and_tests_that_it_names_exist() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let text = document();
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(|code| code.starts_with("crates/")).collect();
    assert!(named.len() > 20, "{named:?}");
    for name in named {
        let (path, item) = name.split_once(": ").unwrap_or((name, ""));
        let source =
            std::fs::read_to_string(format!("{root}/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"));
        let found = item.split(", ").all(|item| source.contains(item.rsplit("::").next().unwrap_or(item)));
        assert!(found, "{path} has no {item}");
    }
}
