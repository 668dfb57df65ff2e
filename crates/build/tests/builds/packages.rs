//! Packages: installed once, whatever their files are called; damaged ones change nothing; Setup gets its own.

use std::fs;
use std::num::NonZeroUsize;

use wimwright_build::events::Silent;
use wimwright_build::job::JobError;
use wimwright_build::report::{Certainty, Engine, Report, Signature};
use wimwright_build::run::Plan;
use wimwright_format::answer_file::AnswerFile;
use wimwright_format::msu::Update;
use wimwright_image::medium::Medium;
use wimwright_practice::recipe::RecipeFile;
use wimwright_practice::updates::{self, UpdateOptions};

use crate::workshop::{Workshop, practice_medium};

const UPDATE: &str = "Windows11.0-KB5004061-x64.msu";

/// The first image, with what the practice packages have.
fn recipe(packages: &str, tail: &str) -> String {
    format!(
        "recipe: 1\nepoch: 2026-11-01\nimages:\n  - select: {{ index: 1 }}\n{packages}    servicing: {{ allow-unsigned: true }}\n\
         drop: {{ index: [2, 3] }}\n{tail}"
    )
}

const EVERYTHING: &str = "    updates: ./kb
    capabilities: { add: Practice.Tools, source: ./fod }
    features: { enable: TelnetClient, disable: { name: WorkFolders-Client, remove-files: true } }
";
const WIM: &str = "output: { wim: ./out.wim }\n";

fn files(options: &UpdateOptions) -> Vec<RecipeFile> {
    updates::files(options).unwrap()
}

/// A workshop with the packages in two folders, among files that are none.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    for file in files(&UpdateOptions::default()) {
        let folder = if file.path.starts_with("Practice-") { "fod/below" } else { "kb" };
        workshop.write(&format!("{folder}/{}", file.path), file.bytes);
    }
    workshop.write("kb/readme.txt", "no update");
    workshop
}

fn report(workshop: &Workshop, text: &str) -> Report {
    let built = workshop.try_build(text, practice_medium(), &workshop.library("library"), None, &Silent).unwrap();
    assert!(built.error.is_none(), "{:?}", built.error);
    built.report
}

fn keys(workshop: &Workshop, text: &str) -> Vec<String> {
    let library = workshop.library("keys");
    library.clear_cache().unwrap();
    let images = workshop.plan(text).run(&library, &Silent).unwrap_or_else(|failure| panic!("{}", failure.error));
    images[0].steps.iter().map(|step| step.key.to_string()).collect()
}

#[test]
fn packages_are_installed_and_reported() {
    let report = report(&workshop(), &recipe(EVERYTHING, WIM));
    let image = &report.images[0];
    let after = image.after.as_ref().unwrap();
    assert_eq!((image.before.full_version().as_str(), after.full_version().as_str()), ("10.0.26100.1742", "10.0.26100.4061"));
    assert!(after.features.contains(&"TelnetClient".to_owned()) && !after.features.contains(&"WorkFolders-Client".to_owned()));
    assert!(after.features.contains(&"Practice-Tools".to_owned()), "what a capability brings is on: {:?}", after.features);
    let [step] = image.steps.as_slice() else { panic!("one step") };
    assert_eq!(step.kind, "packages");
    let row = |name: &str| {
        let package = step.packages.iter().find(|package| package.package.starts_with(name)).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(package.engine, Engine::Native);
        let unsigned = package.signature.as_ref().map(|signature| matches!(signature, Signature::Unsigned { .. }));
        (package.before.as_str(), package.after.as_str(), unsigned, package.components > 0 && package.files > 0)
    };
    assert_eq!(row("Practice-Tools-Package~31bf3856ad364e35~amd64~~"), ("Not Present", "Installed", Some(true), true));
    assert_eq!(row("Package_1_for_KB5004061~"), ("Not Present", "Installed", Some(true), true));
    assert_eq!(row("Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.1742"), ("Installed", "Superseded", None, false));
    // A step is as sure as the least sure of its packages, and each part that is left to Windows is named.
    let deferred = step.packages.iter().filter(|package| package.certainty == Certainty::Deferred);
    assert!(deferred.clone().all(|package| !package.deferred.is_empty()));
    assert_eq!(step.certainty == Certainty::Deferred, deferred.count() > 0);
}

#[test]
fn a_second_build_with_packages_does_nothing_and_one_thread_gives_the_same_bytes() {
    let workshop = workshop();
    let (one, four) = (workshop.library("one"), workshop.library("four"));
    let text = recipe(EVERYTHING, WIM);
    let build = |library, threads| {
        let built = workshop.try_build(&text, practice_medium(), library, NonZeroUsize::new(threads), &Silent).unwrap();
        assert!(built.error.is_none(), "{:?}", built.error);
        (built.up_to_date, workshop.read("out.wim"))
    };
    let (up_to_date, first) = build(&one, 1);
    assert!(!up_to_date);
    assert!(build(&one, 1).0);
    fs::remove_file(workshop.path("out.wim")).unwrap();
    assert_eq!(workshop.build(&text, &one), (false, vec![(1, "packages".to_owned(), true)]));
    fs::remove_file(workshop.path("out.wim")).unwrap();
    let (_, second) = build(&four, 4);
    assert!(first == second, "four threads, other bytes");
    assert_eq!(workshop.layers("one"), workshop.layers("four"));
}

#[test]
fn a_build_with_packages_that_goes_on_anywhere_ends_alike() {
    let workshop = workshop();
    // The step after packages removes one name of a file that the packages gave two.
    let files = "    files: [{ delete: /Windows/System32/practice.exe }, { content: x, to: /x }]\n    metadata: { flags: Other }\n";
    let text = recipe(&format!("{EVERYTHING}{files}"), WIM);
    let library = workshop.library("library");
    workshop.build(&text, &library);
    let (whole, layers) = (workshop.read("out.wim"), workshop.layers("library"));
    for kept in 0..3 {
        let mut records: Vec<_> = workshop.files("library/cache").into_iter().filter(|(name, _)| name.ends_with(".json")).collect();
        records.sort_by_key(|(_, (_, seconds, nanoseconds, _))| (*seconds, *nanoseconds));
        records.iter().skip(kept).for_each(|(record, _)| fs::remove_file(workshop.path(record)).unwrap());
        fs::remove_file(workshop.path("out.wim")).unwrap();
        workshop.build(&text, &library);
        assert!(workshop.read("out.wim") == whole, "{kept} of 3 layers were there");
        assert_eq!(workshop.layers("library"), layers);
    }
}

#[test]
fn contents_of_packages_are_in_the_key_and_their_names_are_not() {
    let workshop = workshop();
    let reference = keys(&workshop, &recipe(EVERYTHING, ""));
    // Other names, another order, twice the same, and an update that is offered for features as well.
    for (number, file) in files(&UpdateOptions::default()).into_iter().enumerate() {
        let folder = if file.path.starts_with("Practice-") { "fod2" } else { "kb2" };
        let ending = file.path.rsplit_once('.').unwrap().1.to_uppercase();
        workshop.write(&format!("{folder}/{}.{ending}", 9 - number), &file.bytes);
        workshop.write(&format!("{folder}/again/{number}.{ending}"), &file.bytes);
    }
    let renamed = EVERYTHING.replace("./kb", "./kb2").replace("source: ./fod", "source: [./fod2, ./kb2]");
    assert_eq!(keys(&workshop, &recipe(&renamed, "")), reference);
    let single = EVERYTHING.replace("updates: ./kb", &format!("updates: [./kb/{UPDATE}, ./kb/SSU-26100.4061-x64.cab]"));
    assert_eq!(keys(&workshop, &recipe(&single, "")), reference);
    let newer = files(&UpdateOptions { revision: 4062, ..UpdateOptions::default() });
    workshop.write(&format!("kb/{UPDATE}"), &newer[0].bytes);
    assert_ne!(keys(&workshop, &recipe(EVERYTHING, "")), reference);
    assert_ne!(keys(&workshop, &recipe(&renamed.replace("TelnetClient", "[]"), "")), reference);
}

#[test]
fn a_folder_without_updates_and_what_is_none_are_refused_where_they_are_named() {
    let workshop = workshop();
    workshop.write("empty/readme.txt", "no update");
    workshop.write("text.msu", "no update either");
    let refusal = |packages: &str| {
        let recipe = workshop.recipe(&recipe(packages, WIM));
        let medium = Medium::open(practice_medium()).unwrap();
        Plan::new(&recipe, medium, &recipe.outputs, &workshop.library("plan")).err().unwrap().to_string()
    };
    let empty = refusal("    updates: [./kb, ./empty]\n");
    assert!(empty.contains("empty`: there is no update in this folder: no file that ends with .msu, .cab, .psf, .esd"), "{empty}");
    assert!(empty.contains("recipe.yaml:5:21"), "{empty}");
    assert!(refusal("    capabilities: { add: x, source: ./nowhere }\n").contains("nowhere"));
    let plan = workshop.plan(&recipe("    updates: ./text.msu\n", WIM));
    let error = plan.planned_packages(&plan.images[0]).err().unwrap();
    let text = format!("{:?}", error);
    assert!(text.contains("text.msu"), "{text}");
}

#[test]
fn setup_gets_its_packages_on_the_medium_with_an_answer_file() {
    let workshop = workshop();
    let setup = "    updates: [{ path: ./kb, engine: setup }]\n";
    let unattend = wimwright_practice::recipe::files().unwrap().into_iter().find(|file| file.path.ends_with("unattend.xml")).unwrap();
    workshop.write("unattend.xml", &unattend.bytes);
    let given = AnswerFile::parse(&unattend.bytes).unwrap();
    let cases = [(setup.to_owned(), vec![]), (format!("{setup}    unattend: ./unattend.xml\n"), given.settings)];
    for (number, (packages, settings)) in cases.into_iter().enumerate() {
        let folder = format!("medium{number}");
        let report = report(&workshop, &recipe(&packages, &format!("output: {{ folder: ./{folder} }}\n")));
        // The image itself is as it was, but for the answer file.
        assert!(report.images[0].steps.iter().all(|step| step.kind == "unattend"));
        let shown: Vec<_> =
            report.setup_packages.iter().map(|package| (package.path.as_str(), package.engine, package.certainty)).collect();
        let (stack, rollup) = (
            "packages/Package_for_ServicingStack_4061~31bf3856ad364e35~amd64~~26100.4061.1.1.cab",
            "packages/Package_for_RollupFix~31bf3856ad364e35~amd64~~26100.4061.1.10.cab",
        );
        assert_eq!(shown, [(stack, Engine::Setup, Certainty::Deferred), (rollup, Engine::Setup, Certainty::Deferred)]);
        assert!(workshop.read(&format!("{folder}/{stack}")) == workshop.read("kb/SSU-26100.4061-x64.cab"));
        let inner = Update::open(std::sync::Arc::new(workshop.read(&format!("kb/{UPDATE}")))).unwrap();
        let inner = inner.packages[0].cabinet.clone().unwrap();
        let mut bytes = vec![0; inner.size() as usize];
        inner.read_exact_at(&mut bytes, 0).unwrap();
        assert!(workshop.read(&format!("{folder}/{rollup}")) == bytes);

        let answers = AnswerFile::parse(&workshop.read(&format!("{folder}/Autounattend.xml"))).unwrap();
        assert_eq!(answers.check(Some("amd64")), []);
        let named: Vec<_> = answers.packages.iter().map(|package| (package.action.as_str(), package.source.clone().unwrap())).collect();
        let location = |path: &str| ("install", format!(r"%configsetroot%\{}", path.replace('/', r"\")));
        assert_eq!(named, [location(stack), location(rollup)]);
        assert_eq!(answers.settings[0].pass, "windowsPE");
        assert_eq!(answers.settings[0].components[0].settings, ["UseConfigurationSet"]);
        let passes = |settings: &[wimwright_format::answer_file::Settings]| settings.iter().map(|one| one.pass.clone()).collect::<Vec<_>>();
        assert_eq!(passes(&answers.settings[1..]), passes(&settings));
        assert!(workshop.build(&recipe(&packages, &format!("output: {{ folder: ./{folder} }}\n")), &workshop.library("library")).0);
    }
}

#[test]
fn setup_is_refused_where_it_cannot_be() {
    let workshop = workshop();
    let setup = "    updates: [{ path: ./kb, engine: setup }]\n";
    let library = workshop.library("library");
    let refused = workshop.try_build(&recipe(setup, WIM), practice_medium(), &library, None, &Silent).err().unwrap();
    assert!(matches!(refused, JobError::SetupWithoutMedium { .. }), "{refused}");
    let unequal = recipe(setup, "output: { iso: ./out.iso }\n").replace("[2, 3]", "3");
    let refused = workshop.try_build(&unequal, practice_medium(), &library, None, &Silent).err().unwrap();
    assert!(format!("{refused:?}").contains("not all images"), "{refused:?}");
    let unsigned = recipe(setup, "output: { iso: ./out.iso }\n").replace("allow-unsigned: true", "allow-unsigned: false");
    assert!(workshop.try_build(&unsigned, practice_medium(), &library, None, &Silent).is_err());
    assert!(!workshop.path("out.iso").exists() && !workshop.path("out.wim").exists());
}

#[test]
fn auto_takes_setup_for_what_neither_we_nor_a_tool_of_windows_do() {
    let workshop = workshop();
    let options = UpdateOptions { elements: "<unattendActions xmlns=\"urn:schemas-microsoft-com:asm.v3\" />", ..UpdateOptions::default() };
    workshop.write(&format!("kb/{UPDATE}"), &files(&options)[0].bytes);
    let auto = "    updates: ./kb\n    capabilities: { add: Practice.Tools, source: ./fod }\n";
    let medium = "output: { folder: ./medium }\n";
    let plan = workshop.plan(&recipe(auto, medium));
    let [package] = plan.setup.as_slice() else { panic!("{:?}", plan.setup) };
    assert!(package.package.starts_with("Package_for_RollupFix~"), "{package:?}");
    assert!(
        package.reason.starts_with("unattendActions of amd64_")
            && package.reason.ends_with("can be done neither natively nor by a tool of Windows"),
        "{package:?}"
    );
    // The others are native, and the plan says of each that nothing is left.
    let planned = plan.planned_packages(&plan.images[0]).unwrap().remove(0).unwrap();
    let native: Vec<_> = planned.changes.iter().map(|change| change.package.split('~').next().unwrap()).collect();
    assert_eq!(native, ["Package_for_ServicingStack_4061", "Practice-Tools-Package", "Practice-Tools-Package"]);
    assert!(planned.changes.iter().all(|change| change.deferred.is_empty()));
    let report = report(&workshop, &recipe(auto, medium));
    assert_eq!((report.setup_packages.len(), report.setup_packages[0].reason.clone()), (1, package.reason.clone()));
    assert_eq!(report.images[0].steps[0].packages.len(), 3);
    assert!(workshop.read("medium/Autounattend.xml").windows(9).any(|text| text == b"RollupFix"));

    // Where the recipe says native, where an output is no medium, and where it says what becomes of such parts, all is native.
    let native = auto.replace("./kb", "{ path: ./kb, engine: native }");
    let library = workshop.library("library");
    for (packages, output) in [(native.as_str(), medium), (auto, WIM)] {
        let text = recipe(packages, output);
        let plan = workshop.plan(&text);
        assert_eq!(plan.setup, []);
        let refused = plan.planned_packages(&plan.images[0]).err().unwrap();
        assert!(format!("{refused:?}").contains("NoTool"), "{refused:?}");
        let built = workshop.try_build(&text, practice_medium(), &library, None, &Silent).unwrap();
        assert!(format!("{:?}", built.error).contains("NoTool"), "{:?}", built.error);
    }
    let omitted = recipe(auto, medium).replace("allow-unsigned: true", "allow-unsigned: true, deferred: omit");
    let plan = workshop.plan(&omitted);
    assert_eq!(plan.setup, []);
    let planned = plan.planned_packages(&plan.images[0]).unwrap().remove(0).unwrap();
    assert_eq!(planned.changes.iter().map(|change| change.deferred.len()).sum::<usize>(), 1);
}
