//! Reads a configuration, changes it as `--set` does, prints it resolved; then shows what a mistake is answered with.

use fp8_trainer::Config;

fn main() -> anyhow::Result<()> {
    let text = "recipe = 'fp8'\n[data]\nkind = 'generated'\n[schedule]\nkind = 'cosine'";
    let config = Config::parse(text, &["training.epochs=20", "seed=7"])?;
    println!("{}", config.to_toml());
    for mistake in ["training.epoch=20", "recipe=fp9", "training.batch=0"] {
        if let Err(error) = Config::parse(text, &[mistake]) {
            println!("--set {mistake}\n    {:#}", anyhow::Error::new(error));
        }
    }
    Ok(())
}
