//! The configurations of the repository.

use std::fs;
use std::path::Path;

use fp8_trainer::Config;

#[test]
fn every_configuration_can_be_read_and_is_told_of() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let none: [&str; 0] = [];
    let mut read = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            Config::load(&path, &none).unwrap();
            read += 1;
        }
    }
    assert!(read >= 3);
    let images = Config::parse(
        "",
        &[
            "training.clip_norm=1.0",
            "log.checkpoint_every_steps=9",
            "log.checkpoint_every_epochs=9",
            "loader.training_images=9",
            "loader.validation_images=9",
            "diagnostics={count_flushed_every = 9, spurious_overflow_every = 9}",
        ],
    )
    .unwrap();
    let translation = Config::parse("task = 'translation'", &none).unwrap();
    let tables = [images, translation].map(|config| config.to_toml().parse::<toml::Table>().unwrap());
    for (section, fields) in tables.iter().flatten().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        for field in fields.keys().filter(|_| !["data", "optimizer", "loss_scaling"].contains(&section.as_str())) {
            assert!(readme.contains(&format!("`{section}.{field}`")), "{section}.{field}");
        }
    }
}

#[test]
fn the_example_of_a_recipe_is_one() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let example = readme.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("example.toml");
    fs::write(&file, example).unwrap();
    let config = Config::parse("", &[format!("recipe={}", file.display())]).unwrap();
    assert_eq!(config.recipe.recipe().name, "first-stage");
}
