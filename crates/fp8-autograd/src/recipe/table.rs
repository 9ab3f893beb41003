//! Recipes side by side.

use crate::{Recipe, Role};

/// A Markdown table: a column for each recipe, a row for each role, the exempt layers and the loss scaling.
pub fn table(recipes: &[Recipe]) -> String {
    let row = |name: &str, cell: &dyn Fn(&Recipe) -> String| {
        format!("| {name} | {} |\n", recipes.iter().map(cell).collect::<Vec<_>>().join(" | "))
    };
    let mut text = row("role", &|recipe| recipe.name.clone());
    text += &format!("|---|{}\n", "---|".repeat(recipes.len()));
    for role in Role::ALL {
        text += &row(&role.to_string(), &|recipe| recipe.of(role).to_string());
    }
    text += &row("exempt layers", &|recipe| match &*recipe.exempt.layers {
        [] => "none".into(),
        layers => format!("{}: {}", layers.join(", "), recipe.exempt.format),
    });
    text + &row("loss scaling", &|recipe| recipe.loss_scaling.to_string())
}
