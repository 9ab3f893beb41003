//! The built-in recipes as a table: how each kind of tensor is stored.
//!
//!     cargo run -p fp8-autograd --example recipes [FILE.toml]
//!
//! With a file, that recipe alone.

use std::error::Error;

use fp8_autograd::{Recipe, Role};

fn main() -> Result<(), Box<dyn Error>> {
    let recipes: Vec<Recipe> = match std::env::args().nth(1) {
        Some(path) => {
            vec![Recipe::parse(&std::fs::read_to_string(&path).map_err(|error| format!("reading {path}: {error}"))?)?]
        }
        None => Recipe::names().map(Recipe::named).collect::<Result<_, _>>()?,
    };
    println!("| role | {} |", recipes.iter().map(|recipe| &*recipe.name).collect::<Vec<_>>().join(" | "));
    println!("|---|{}", "---|".repeat(recipes.len()));
    let row = |name: &str, cell: &dyn Fn(&Recipe) -> String| {
        println!("| {name} | {} |", recipes.iter().map(cell).collect::<Vec<_>>().join(" | "));
    };
    for role in Role::ALL {
        row(&role.to_string(), &|recipe| recipe.format(role, "any layer").to_string());
    }
    row("exempt layers", &|recipe| match &*recipe.exempt.layers {
        [] => "none".into(),
        layers => format!("{}: {}", layers.join(", "), recipe.exempt.format),
    });
    row("loss scaling", &|recipe| recipe.loss_scaling.to_string());
    Ok(())
}
