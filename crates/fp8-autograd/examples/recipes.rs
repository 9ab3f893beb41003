//! The built-in recipes as a table: how each kind of tensor is stored.
//!
//!     cargo run -p fp8-autograd --example recipes [FILE.toml]
//!
//! With a file, that recipe alone.

use std::error::Error;

use fp8_autograd::{Recipe, table};

fn main() -> Result<(), Box<dyn Error>> {
    let recipes: Vec<Recipe> = match std::env::args().nth(1) {
        Some(path) => {
            vec![Recipe::parse(&std::fs::read_to_string(&path).map_err(|error| format!("reading {path}: {error}"))?)?]
        }
        None => Recipe::names().map(Recipe::named).collect::<Result<_, _>>()?,
    };
    print!("{}", table(&recipes));
    Ok(())
}
