#![no_main]
//! Any bytes as a recipe, split at the first NUL into the recipe and what it includes: a value or an error, and the
//! canonical form of a value is a recipe with the same canonical form.

use std::collections::BTreeMap;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use wimwright_build::recipe::Recipe;

fuzz_target!(|data: &[u8]| {
    let (recipe, included) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let path = Path::new("recipe.yaml");
    let settings = BTreeMap::new();
    let loaded = Recipe::load(path, &settings, &mut |asked| Ok(if asked == path { recipe } else { included }.to_vec()));
    match loaded {
        Ok(recipe) => {
            let text = recipe.canonical_text();
            let again = Recipe::load(path, &settings, &mut |_| Ok(text.clone().into_bytes()));
            match again {
                Ok(again) => assert_eq!(again.canonical_text(), text),
                Err(error) => panic!("the canonical form is refused: {error}\n{text}"),
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
