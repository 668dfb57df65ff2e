//! The demonstration's recipe is a recipe, and says what it is meant to say.

use std::collections::BTreeMap;
use std::fs;

use wimwright_build::recipe::{ImageFacts, Recipe, StepSpec};
use wimwright_practice::recipe;

const PROFESSIONAL: ImageFacts<'_> = ImageFacts { index: 1, name: "Windows 11 Pro", edition: "Professional" };
const ENTERPRISE: ImageFacts<'_> = ImageFacts { index: 2, name: "Windows 11 Enterprise", edition: "Enterprise" };
const PROFESSIONAL_N: ImageFacts<'_> = ImageFacts { index: 3, name: "Windows 11 Pro N", edition: "ProfessionalN" };

#[test]
fn the_recipe_uses_every_step() {
    let folder = tempfile::tempdir().unwrap();
    for file in recipe::files().unwrap() {
        let path = folder.path().join(&file.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file.bytes).unwrap();
    }
    let recipe = Recipe::read(&folder.path().join(recipe::RECIPE), &BTreeMap::new()).unwrap_or_else(|error| panic!("{error}"));
    recipe.check_selectors(&[PROFESSIONAL, ENTERPRISE, PROFESSIONAL_N]).unwrap();
    assert!(recipe.drops(PROFESSIONAL_N) && !recipe.drops(PROFESSIONAL) && !recipe.drops(ENTERPRISE));
    for image in [PROFESSIONAL, ENTERPRISE] {
        let mut kinds: Vec<_> = recipe.steps(image).iter().map(StepSpec::kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(
            kinds,
            ["apps.add", "apps.remove", "default-apps", "files", "metadata", "packages", "registry", "start-layout", "unattend"]
        );
    }
}
