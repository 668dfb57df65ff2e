//! The report: its formats agree, nothing in it can become markup.

use super::*;

fn state(name: &str, apps: &[&str], files: u64) -> ImageState {
    ImageState {
        name: name.into(),
        version: "10.0".into(),
        build: Some(26100),
        ubr: Some(1742),
        edition: "Professional".into(),
        languages: vec!["en-US".into()],
        packages: vec!["Microsoft-Windows-Foundation-Package~31bf3856ad364e35~amd64~~10.0.26100.1742".into()],
        features: vec!["Printing-Foundation-Features".into(), "WindowsMediaPlayer".into()],
        apps: apps.iter().map(|app| (*app).to_owned()).collect(),
        file_count: files,
        total_bytes: 15_234_567_890,
        image_bytes: Some(4_934_567_890),
    }
}

fn step(kind: &str, title: &str, outcome: Outcome) -> Step {
    Step {
        kind: kind.into(),
        title: title.into(),
        outcome,
        certainty: Certainty::Exact,
        details: vec![format!("{title} detail")],
        packages: vec![],
        key: "00ff".into(),
        duration_seconds: Some(0.125),
    }
}

pub(crate) fn sample() -> Report {
    let before = ["Microsoft.BingNews_4.55_neutral", "Microsoft.GamingApp_1.0_x64", "Microsoft.Paint_11.2_x64"];
    Report {
        report: 1,
        tool_version: "0.1.0".into(),
        recipe: RecipeIdentity { name: "Contoso Windows 11".into(), digest: "9f86d081884c7d65".repeat(4) },
        input: InputMedium { path: "./Win11_24H2_English_x64.iso".into(), kind: MediumKind::Iso },
        images: vec![
            ImageReport {
                index: 1,
                name: "Windows 11 Home".into(),
                before: state("Windows 11 Home", &before, 98_120),
                after: None,
                dropped: true,
                changes: Changes::default(),
                steps: vec![],
            },
            ImageReport {
                index: 6,
                name: "Windows 11 Pro".into(),
                before: state("Windows 11 Pro", &before, 98_234),
                after: Some(state("Contoso Windows 11 Pro", &["Contoso.Portal_1.0_neutral", "Microsoft.Paint_11.2_x64"], 98_301)),
                dropped: false,
                changes: Changes {
                    files: Counts { added: 70, removed: 3, changed: 12 },
                    registry: Counts { added: 2_000, removed: 14, changed: 40 },
                },
                steps: vec![
                    step("apps.remove", "Remove provisioned apps", Outcome::Cached),
                    step("files", "Add, delete and rename files", Outcome::Done),
                    Step {
                        certainty: Certainty::Deferred,
                        duration_seconds: Some(75.0),
                        ..step("unattend", "Place the answer file", Outcome::Done)
                    },
                ],
            },
        ],
        setup_packages: vec![],
        outputs: vec![OutputReport { path: "out/contoso.iso".into(), kind: MediumKind::Iso, size: 5_834_567_890 }],
        error: None,
        timing: Some(Timing { started: "2026-11-01T08:30:00Z".into(), total_seconds: 83.4 }),
    }
}

pub(crate) fn failed() -> Report {
    let mut report = sample();
    let error = "cannot read `./App.msixbundle`: No such file or directory\n --> recipe.yaml:14:9".to_owned();
    report.images[1].steps.push(step("apps.add", "Provision apps", Outcome::Failed { error }));
    report.images[1].after = None;
    report.outputs.clear();
    report
}

#[test]
fn json_round_trips_and_is_what_scripts_read() {
    let report = failed();
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["images"][1]["before"]["ubr"], 1742);
    assert_eq!(json["images"][1]["changes"]["files"]["added"], 70);
    assert_eq!(json["images"][1]["steps"][0]["result"], "cached");
    assert_eq!(json["images"][1]["steps"][3]["result"], "failed");
    assert!(json["images"][1]["steps"][3]["error"].as_str().unwrap().starts_with("cannot read"));
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
}

#[test]
fn the_verdict_is_that_of_the_steps() {
    assert!(sample().succeeded());
    assert!(!failed().succeeded());
    assert_eq!(failed().failures().map(|(image, step)| (image.index, step.kind.as_str())).collect::<Vec<_>>(), [(6, "apps.add")]);
    assert!(!Report { error: Some("the disk is full".into()), ..sample() }.succeeded());
    assert!(html(&sample()).contains("<p>Done</p>"));
    let shown = html(&Report { error: Some("the disk is full".into()), ..sample() });
    assert!(shown.contains("<p>Failed</p>") && shown.contains("the disk is full"));
}

#[test]
fn times_and_the_cache_are_not_in_the_reproducible_part() {
    let mut other = sample();
    other.timing = Some(Timing { started: "2027-01-01T00:00:00Z".into(), total_seconds: 1.0 });
    other.images[1].steps[0].outcome = Outcome::Done;
    other.images[1].steps[1].duration_seconds = Some(9.0);
    assert_eq!(other.reproducible().to_json(), sample().reproducible().to_json());
    assert!(!sample().reproducible().to_json().contains("seconds"));
    assert_ne!(failed().reproducible(), sample().reproducible());
}

#[test]
fn html_is_one_file_without_scripts_or_foreign_resources() {
    let page = html(&sample());
    for absent in ["<script", "http:", "https:", "src=", "<link", "@import", "url("] {
        assert!(!page.contains(absent), "{absent}");
    }
    for present in [
        "lang=\"en\"",
        "<main>",
        "prefers-color-scheme: dark",
        "@media print",
        "Files: 70 added, 3 removed, 12 changed.",
        "10.0.26100.1742",
        "4.6\u{202f}GB",
        "1\u{202f}min 15\u{202f}s",
    ] {
        assert!(page.contains(present), "{present}");
    }
    // The app that came and the two that went are named.
    let changes = page.split("Steps, in the order").next().unwrap();
    for app in ["Contoso.Portal_1.0_neutral", "Microsoft.BingNews_4.55_neutral", "Microsoft.GamingApp_1.0_x64"] {
        assert!(changes.contains(app), "{app}");
    }
}

/// Every text of a report is hostile at once; the page must still be well-formed markup with the text in it as text.
#[test]
fn hostile_text_stays_text() {
    const HOSTILE: &str = "</style><script>alert(1)</script><img src=x onerror=\"alert(2)\">'\"&amp;\u{202e}\u{0}]]>";
    fn poison(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = HOSTILE.into(),
            serde_json::Value::Array(items) => items.iter_mut().for_each(poison),
            serde_json::Value::Object(map) => {
                for (_, value) in map.iter_mut().filter(|(key, _)| !matches!(key.as_str(), "kind" | "certainty" | "result")) {
                    poison(value);
                }
            }
            _ => {}
        }
    }
    let mut json = serde_json::to_value(failed()).unwrap();
    poison(&mut json);
    let mut report: Report = serde_json::from_value(json).unwrap();
    report.error = Some(HOSTILE.into());
    for step in &mut report.images[1].steps {
        step.kind = HOSTILE.into();
    }
    let page = html(&report);
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains('\u{202e}') && !page.contains('\0'));
    assert_eq!(page.matches("</style>").count(), 1);
    // Void elements apart, the page is XML: an XML parser judges the escaping.
    let xml = page.replacen("<!DOCTYPE html>", "", 1).replace("<meta charset=\"utf-8\">", "");
    let xml = xml.replace("initial-scale=1\">", "initial-scale=1\"/>").replace("content=\"light dark\">", "content=\"light dark\"/>");
    let document = roxmltree::Document::parse(&xml).unwrap();
    assert!(document.descendants().filter(|node| node.text().is_some_and(|text| text.contains("<script>alert(1)</script>"))).count() > 10);
}

#[test]
fn an_empty_report_is_a_page_too() {
    let report = Report { images: vec![], outputs: vec![], error: Some("no medium".into()), timing: None, ..sample() };
    assert!(html(&report).contains("Nothing was written."));
}

#[test]
fn the_published_schema_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/report.schema.json");
    let published: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(published == json_schema(), "docs/reference/report.schema.json is not what the types say: run `cargo xtask generate`");
}
