//! A recipe that uses every step on the practice medium, and the files that it needs.

use wimwright_format::appx::{Architecture, Identity, Version};

use crate::apps;
use crate::error::Error;
use crate::msix::AppPackage;
use crate::updates::{self, UpdateOptions};

/// The recipe's name in its folder. It expects the medium as `practice.iso` beside it and writes `serviced.iso`.
pub const RECIPE: &str = "recipe.yaml";

/// Publisher of the practice app.
const PUBLISHER: &str = "CN=Contoso Practice";

/// A file of the demonstration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeFile {
    /// Path below the recipe's folder, with slashes.
    pub path: String,
    /// Contents.
    pub bytes: Vec<u8>,
}

/// The recipe and its inputs. App and packages are unsigned: enough for an image, Windows itself would refuse them.
///
/// # Errors
/// [`Error::Zip`] and [`Error::Cabinet`]; all is made in memory, so none is expected.
pub fn files() -> Result<Vec<RecipeFile>, Error> {
    let app = app()?;
    let family = app.identity.family_name();
    let framework = apps::framework(Version([14, 0, 33728, 0]))?;
    let layout = include_str!("LayoutModification.json").replace("Contoso.Practice_PUBLISHER", &family);
    let license = include_str!("License1.xml").replace(">PFM<", &format!(">{}<", family.to_lowercase()));
    let mut files: Vec<(&str, Vec<u8>)> = vec![
        (RECIPE, include_bytes!("recipe.yaml").to_vec()),
        ("inputs/shared.yaml", include_bytes!("shared.yaml").to_vec()),
        ("inputs/tweaks.reg", include_bytes!("tweaks.reg").to_vec()),
        ("inputs/Registry.xml", include_bytes!("Registry.xml").to_vec()),
        ("inputs/unattend.xml", include_bytes!("unattend.xml").to_vec()),
        ("inputs/LayoutModification.json", layout.into_bytes()),
        ("inputs/DefaultAssociations.xml", include_bytes!("DefaultAssociations.xml").to_vec()),
        ("inputs/apps/Contoso.Practice_1.2.0.0_x64.msix", app.file()?),
        ("inputs/apps/Microsoft.VCLibs.140.00_14.0.33728.0_x64.appx", framework.file()?),
        ("inputs/apps/Contoso.Practice_License1.xml", license.into_bytes()),
        ("inputs/Tools/readme.txt", b"Tools of the practice recipe.\r\n".to_vec()),
        ("inputs/Tools/empty.cfg", Vec::new()),
    ];
    for (path, name, size) in [
        ("inputs/Tools/inventory.exe", "inventory.exe", 300 << 10),
        ("inputs/Tools/bin/agent.dll", "agent.dll", 500 << 10),
        ("inputs/Tools/bin/x86/agent.dll", "agent32.dll", 200 << 10),
    ] {
        files.push((path, apps::program(name, size)?));
    }
    let mut files: Vec<_> = files.into_iter().map(|(path, bytes)| RecipeFile { path: path.to_owned(), bytes }).collect();
    for RecipeFile { path, bytes } in updates::files(&UpdateOptions::default())? {
        let folder = if path.starts_with("Practice-") { "features" } else { "updates" };
        files.push(RecipeFile { path: format!("inputs/{folder}/{path}"), bytes });
    }
    Ok(files)
}

fn app() -> Result<AppPackage, Error> {
    let identity = Identity {
        name: "Contoso.Practice".to_owned(),
        publisher: PUBLISHER.to_owned(),
        version: Version([1, 2, 0, 0]),
        architecture: Architecture::X64,
        resource_id: String::new(),
    };
    let executable = "Practice.exe";
    let parts = vec![
        (executable.to_owned(), apps::program(executable, 200 << 10)?),
        ("Assets/Logo.png".to_owned(), apps::picture("Contoso")?),
        ("data/read me.txt".to_owned(), b"A part whose name has a space.\r\n".to_vec()),
    ];
    let framework = Some((apps::FRAMEWORK, "14.0.33728.0"));
    Ok(AppPackage { identity, display_name: "Contoso Practice", executable: Some(executable), framework, parts })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wimwright_format::answer_file::AnswerFile;
    use wimwright_format::appx::{AppFile, License};
    use wimwright_format::default_associations::DefaultAssociations;
    use wimwright_format::reg_file;
    use wimwright_format::start_layout::PinList;

    use super::*;

    fn bytes_of(path: &str) -> Vec<u8> {
        files().unwrap().into_iter().find(|file| file.path.ends_with(path)).unwrap().bytes
    }

    #[test]
    fn inputs_are_what_the_formats_ask_for() {
        assert_eq!(AnswerFile::parse(&bytes_of("unattend.xml")).unwrap().check(Some("amd64")), []);
        assert_eq!(PinList::parse(&bytes_of("LayoutModification.json")).unwrap().check(), []);
        assert_eq!(DefaultAssociations::parse(&bytes_of("DefaultAssociations.xml")).unwrap().check(), []);
        assert_eq!(reg_file::parse(&bytes_of("tweaks.reg")).unwrap().len(), 12);
        assert_eq!(reg_file::parse_preferences(&bytes_of("Registry.xml")).unwrap().len(), 3);
    }

    #[test]
    fn app_packages_are_sound() {
        for path in [".msix", ".appx"] {
            let AppFile::Package(package) = AppFile::open(Arc::new(bytes_of(path))).unwrap() else { panic!("{path}") };
            package.verify().unwrap();
            assert_eq!(package.manifest().framework, path == ".appx");
        }
        let license = License::parse(&bytes_of("License1.xml")).unwrap();
        assert_eq!(license.family_name, app().unwrap().identity.family_name().to_lowercase());
    }
}
