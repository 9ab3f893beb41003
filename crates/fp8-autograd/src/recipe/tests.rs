use super::*;

#[test]
fn the_built_in_recipes_are_what_the_paper_says() {
    for name in Recipe::names() {
        assert_eq!(Recipe::named(name).unwrap().name, name);
    }
    let fp8 = Recipe::named("fp8").unwrap();
    assert_eq!(fp8.format(Role::Weight, "layer1.0.conv1"), &RoleFormat::nearest(DType::E5M2));
    for role in [Role::Activation, Role::Error, Role::Gradient] {
        let format = fp8.format(role, "layer1.0.conv1");
        assert_eq!((format.dtype, format.rounding), (DType::E5M2, Rounding::STOCHASTIC));
        assert_eq!(format.overflow, Overflow::Infinity, "the loss scaler must see overflow");
        assert_eq!(fp8.format(role, "fc").dtype, DType::F16);
        assert_eq!(fp8.format(role, "conv1").dtype, DType::F16);
    }
    assert_eq!(fp8.master.dtype, DType::F16);
    assert_eq!(fp8.format(Role::Logits, "fc").dtype, DType::F32);
    assert_eq!(Recipe { name: "fp8".into(), ..Recipe::named("fp8-sr").unwrap() }, fp8);
    for (name, dtype) in [("fp32", DType::F32), ("fp16", DType::F16), ("bf16", DType::Bf16), ("fp8-hybrid", DType::F16)]
    {
        assert_eq!(Recipe::named(name).unwrap().gate, RoleFormat::nearest(dtype));
    }
    let rne = Recipe::named("fp8-rne").unwrap();
    assert!([rne.weight, rne.activation, rne.error, rne.gradient].iter().all(|f| *f == rne.weight));
    assert_eq!(Recipe::named("fp8-mpemu").unwrap().master.rounding, Rounding::STOCHASTIC);
    let hybrid = Recipe::named("fp8-hybrid").unwrap();
    assert_eq!((hybrid.activation.dtype, hybrid.error.dtype), (DType::E4M3, DType::E5M2));
    let lean = Recipe::named("fp8-lean").unwrap();
    assert_eq!((lean.moment.dtype, lean.moment.rounding), (DType::Bf16, Rounding::STOCHASTIC));
    assert_eq!(Recipe { name: "fp8".into(), moment: RoleFormat::F32, ..lean }, fp8);
    let others = Recipe::names().filter(|name| *name != "fp8-lean");
    assert!(others.into_iter().all(|name| Recipe::named(name).unwrap().moment == RoleFormat::F32));
}

/// What a recipe's text is refused with.
#[test]
fn mistakes_are_named() {
    for (text, message) in [
        ("[wieght]\ndtype = 'e5m2'", r#"unknown field "wieght" (did you mean "weight"?)"#),
        ("[weight]\nrouding = 'sr'", r#"unknown field "weight.rouding" (did you mean "rounding"?)"#),
        ("weight = 'e5m2'", "weight: a table is wanted"),
        (
            "[weight]\ndtype = 'e5m3'",
            r#"weight.dtype: unknown format "e5m3" (did you mean "e5m2"?); choose one of f32, f16"#,
        ),
        ("[weight]\ndtype = 8", "weight.dtype: a text is wanted, not 8"),
        ("[error]\nrounding = 'up'", r#"error.rounding: unknown rounding "up"; choose one of rne, rna"#),
        ("[error]\nrounding = 'rnee'", r#"(did you mean "rne"?)"#),
        ("[error]\noverflow = 'saturated'", r#"unknown overflow policy "saturated" (did you mean "saturate"?)"#),
        ("[error]\nscaling = 'delayed'", "choose one of none, current"),
        ("[moment]\ndtype = 'f16'", "recipe: moment: moments are kept in f32 or bf16: "),
        ("[moment]\ndtype = 'e5m2'", "recipe: moment: moments are kept in f32 or bf16: "),
        ("[moment]\ndtype = 'bf15'", r#"moment.dtype: unknown format "bf15" (did you mean "bf16"?)"#),
        ("[moment]\nbits = 16", r#"unknown field "moment.bits"; the fields here are: dtype, rounding"#),
        ("[moment]\ndtype = 'bf16'\nscaling = 'current'", "recipe: moment: what the optimiser keeps is not scaled"),
        ("[gate]\nrounding = 'sr'", "recipe: gate: gates are kept to nearest-even, unscaled"),
        ("[gate]\nscaling = 'current'", "recipe: gate: gates are kept to nearest-even, unscaled"),
        ("[moments]\ndtype = 'bf16'", r#"unknown field "moments" (did you mean "moment"?)"#),
        ("[master]\nscaling = 'current'", "recipe: master: what the optimiser keeps is not scaled"),
        ("[exempt]\nlayers = 'fc'", "exempt.layers: a list of texts"),
        ("loss_scaling = 1000", "loss_scaling: a table is wanted, not 1000"),
        ("[loss_scaling]\nscale = 1.0", "loss_scaling.kind: is missing"),
        ("[loss_scaling]\nkind = 'constant'", "loss_scaling.scale: is missing"),
        ("[loss_scaling]\nkind = 'constant'\nscale = 'large'", "loss_scaling.scale: invalid type: string"),
        ("[loss_scaling]\nkind = 'constant'\nscale = -1.0", "loss_scaling: scale must be finite and above 0, not -1"),
        (
            "[loss_scaling]\nkind = 'constnat'",
            r#"loss_scaling.kind: unknown kind "constnat" (did you mean "constant"?)"#,
        ),
        (
            "[loss_scaling]\nkind = 'back-off'\ninitial = 1\ngrowth_interval = 9\nfloor = 1",
            r#"unknown field "loss_scaling.floor"; the fields here are: kind, initial, growth_interval"#,
        ),
        (
            "[loss_scaling]\nkind = 'constant'\nscale = 1\nscael = 1",
            r#"unknown field "loss_scaling.scael" (did you mean "scale"?)"#,
        ),
        ("base = 'fp9'", r#"unknown recipe "fp9" (did you mean "fp8"?)"#),
        ("weight", "file: "),
    ] {
        let error = Recipe::parse(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}\n{error}\n{message}");
    }
}

#[test]
fn a_recipe_of_ones_own() {
    let text = "[loss_scaling]\nkind = 'enhanced'\ninitial = 8192\ngrowth_interval = 2000\nfloors = [[40000, 8192], [150000, 32768]]";
    let floors = vec![(40_000, 8192.0), (150_000, 32768.0)];
    let scaling = LossScaling::Enhanced { initial: 8192.0, growth_interval: 2000, floors };
    assert_eq!(Recipe::parse(text).unwrap().loss_scaling, scaling);
    let recipe = Recipe::parse("base = 'fp8'\nname = 'mine'\n[exempt]\nlayers = ['layer1.*']\ndtype = 'bf16'").unwrap();
    assert_eq!(recipe.name, "mine");
    assert_eq!(recipe.format(Role::Activation, "layer1.0.conv1").dtype, DType::Bf16);
    assert_eq!(recipe.format(Role::Activation, "fc").dtype, DType::E5M2);
}

#[test]
fn formats_are_shown() {
    assert_eq!(RoleFormat::F32.to_string(), "f32");
    let hybrid = Recipe::named("fp8-hybrid").unwrap();
    assert_eq!(hybrid.weight.to_string(), "e4m3 rne saturate current");
    assert_eq!(hybrid.error.to_string(), "e5m2 sr");
}

#[test]
fn current_scales_fill_the_format_and_no_more() {
    let format = RoleFormat::nearest(DType::E4M3);
    for (amax, scale) in [(448.0, 1.0), (449.0, 0.5), (1.0, 256.0), (0.01, 32768.0), (0.0, 1.0), (f32::INFINITY, 1.0)] {
        assert_eq!(format.current_scale(amax), scale, "{amax}");
    }
    assert_eq!(format.current_scale(f32::NAN), 1.0);
    assert_eq!(RoleFormat::F32.current_scale(3.0), 1.0);
    assert_eq!(format.current_scale(f32::from_bits(1)), 2_f32.powi(100));
}

#[test]
fn nothing_is_random_in_a_deterministic_recipe() {
    for name in Recipe::names() {
        let recipe = Recipe::named(name).unwrap();
        let fixed = recipe.clone().deterministic();
        for role in Role::ALL {
            let (before, after) = (recipe.of(role), fixed.of(role));
            assert!(!matches!(after.rounding, Rounding::Stochastic { .. }), "{name} {role}");
            assert_eq!((before.dtype, before.overflow, before.scaling), (after.dtype, after.overflow, after.scaling));
        }
    }
}

#[test]
fn scales_of_whole_batches_are_known() {
    assert!(Recipe::names().all(|name| !Recipe::named(name).unwrap().scales_by_batch()));
    let own = |text: &str| Recipe::parse(&format!("base = \"fp8-rne\"\n{text}")).unwrap().scales_by_batch();
    assert!(own("[activation]\ndtype = \"e3m4\"\nscaling = \"current\""));
    assert!(!own("[gradient]\nscaling = \"current\""));
}

#[test]
fn errors_and_gradients_are_not_saturated() {
    for role in ["error", "gradient", "exempt"] {
        let text = format!("base = \"fp8\"\n[{role}]\noverflow = \"saturate\"");
        assert!(Recipe::parse(&text).unwrap_err().to_string().contains(role), "{text}");
    }
}
