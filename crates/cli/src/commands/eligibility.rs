//! `eligibility`: may an image upgrade an installed Windows?

use wimwright_build::recipe::yaml_value;
use wimwright_image::address::{Address, Target};
use wimwright_servicing::eligibility::{Assessment, Eligible, Installed, Keeps, MediumFacts, Verdict, assess};
use wimwright_servicing::inventory::Inventory;

use super::{Result, image_number, open_image};
use crate::args::Eligibility;
use crate::ui::error::CommandError;
use crate::ui::printer::Printer;

/// Assesses, rule by rule. An image that may not upgrade is a result, not an error.
pub fn run(arguments: &Eligibility, printer: &Printer) -> Result {
    let installed = read_facts(arguments)?;
    let (mut image, _) = open_image(&arguments.image)?;
    let index = image_number(&Address::parse(&arguments.image)?);
    let inventory = Inventory::read(&mut image, index)?;
    let assessment = assess(&inventory, &installed, MediumFacts { has_setup: has_setup(&arguments.image)? });
    printer.result(&assessment, || render(&inventory, &assessment))
}

fn read_facts(arguments: &Eligibility) -> Result<Installed> {
    let path = &arguments.installed;
    let text = std::fs::read_to_string(path).map_err(|error| CommandError::user(format!("cannot read `{}`: {error}", path.display())))?;
    let value = yaml_value(path, &text)?;
    serde_json::from_value(value).map_err(|error| {
        let example = "architecture: x64, build: 19045, ubr: 5011, edition: Professional, installation_type: Client, language: en-US";
        CommandError::user(format!("`{}` does not describe an installed Windows: {error}", path.display()))
            .hinted(format!("write it like this, one fact a line: {example}"))
    })
}

/// Whether the image lies on a whole setup medium.
fn has_setup(address: &str) -> Result<bool> {
    let medium = Address { places: Vec::new(), ..Address::parse(address)? };
    Ok(match medium.open()? {
        Target::Medium(medium) => {
            medium.file("setup.exe").is_some() && medium.image_files().any(|file| file.path.to_ascii_lowercase().starts_with("sources/"))
        }
        _ => false,
    })
}

fn render(image: &Inventory, assessment: &Assessment) -> String {
    let verdict = match assessment.eligible {
        Eligible::Yes => "may upgrade this Windows in place",
        Eligible::No => "may NOT upgrade this Windows in place",
        Eligible::Unknown => "may perhaps upgrade this Windows: not everything is known",
    };
    let keeps = match assessment.keeps {
        Keeps::Everything => "personal files, settings and applications",
        Keeps::PersonalFiles => "personal files only",
        Keeps::Nothing => "nothing: only a clean installation is possible",
    };
    let mut text = format!("{} {verdict}\nSetup can keep {keeps}\n\n", image.media_name);
    for rule in &assessment.rules {
        let state = match rule.verdict {
            Verdict::Met => "met",
            Verdict::Broken => "BROKEN",
            Verdict::Unknown => "unknown",
        };
        text.push_str(&format!("{state:<8} {}: {}\n", rule.rule, rule.reason));
    }
    text
}
