//! The rules of eligibility, each alone against a pair that fits.

use serde_json::{Value, json};
use wimwright_servicing::eligibility::{Assessment, Eligible, Installed, Keeps, MediumFacts, Rule, Verdict, assess};
use wimwright_servicing::inventory::Inventory;

/// An uncaptured Windows 11 Pro 24H2, with `changes` of fields.
fn image(changes: &Value) -> Inventory {
    let mut fields = json!({
        "index": 1, "name": "Windows 11 Pro", "description": "", "edition": "Professional", "architecture": "x64",
        "installation_type": "Client", "product_name": "", "version": "10.0.26100.1742", "build": 26100, "ubr": 1742,
        "release": "24H2", "build_lab": "", "languages": ["en-US"], "default_language": "en-US", "media_name": "", "family": "",
        "modified": 0, "directories": 0, "files": 0, "total_bytes": 0, "packages": [], "features": [], "capabilities": [],
        "provisioned_apps": [], "drivers": [], "applications": [], "pending": [],
        "provenance": {"verdict": "uncaptured", "evidence": []},
    });
    merge(&mut fields, changes);
    serde_json::from_value(fields).unwrap()
}

/// An installed Windows 10 Pro 22H2, with `changes` of facts.
fn installed(changes: &Value) -> Installed {
    let mut facts = json!({
        "architecture": "amd64", "build": 19045, "ubr": 5011, "edition": "Professional", "installation_type": "Client", "language": "en-US",
    });
    merge(&mut facts, changes);
    serde_json::from_value(facts).unwrap()
}

fn merge(into: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        into[name] = value.clone();
    }
}

fn assessed(image_changes: &Value, installed_changes: &Value) -> Assessment {
    assess(&image(image_changes), &installed(installed_changes), MediumFacts { has_setup: true })
}

/// The rule that is not met; every other one must be.
fn only_failure(assessment: &Assessment) -> &Rule {
    let failures: Vec<_> = assessment.rules.iter().filter(|rule| rule.verdict != Verdict::Met).collect();
    assert_eq!(failures.len(), 1, "{failures:#?}");
    failures[0]
}

#[test]
fn a_pair_that_fits() {
    let assessment = assessed(&json!({}), &json!({}));
    assert_eq!((assessment.eligible, assessment.keeps), (Eligible::Yes, Keeps::Everything));
    let rules: Vec<_> = assessment.rules.iter().map(|rule| format!("{}: {} / {}", rule.rule, rule.image, rule.installed)).collect();
    insta::assert_snapshot!(rules.join("\n"), @r"
    provenance: uncaptured / 
    medium: setup medium / 
    architecture: x64 / x64
    version: 26100.1742 / 19045.5011
    installation type: Client / Client
    edition: Professional / Professional
    language: en-US / en-US
    media features: with media features / with media features
    servicing channel: General Availability Channel / General Availability Channel
    ");
}

#[test]
fn every_rule_alone() {
    use Keeps::{Everything, Nothing, PersonalFiles};
    use Verdict::{Broken, Unknown};
    let server = |build: u32| json!({"edition": "ServerStandard", "installation_type": "Server", "build": build, "ubr": 1});
    let with = |mut base: Value, changes: Value| {
        merge(&mut base, &changes);
        base
    };
    let cases = [
        ("captured", json!({"provenance": {"verdict": "captured", "evidence": []}}), json!({}), "provenance", Broken, Nothing),
        (
            "generalized",
            json!({"provenance": {"verdict": "captured_and_generalized", "evidence": []}}),
            json!({}),
            "provenance",
            Broken,
            Nothing,
        ),
        (
            "indeterminate",
            json!({"provenance": {"verdict": "indeterminate", "evidence": []}}),
            json!({}),
            "provenance",
            Unknown,
            Everything,
        ),
        ("other architecture", json!({"architecture": "x86"}), json!({}), "architecture", Broken, Nothing),
        ("image of no architecture", json!({"architecture": ""}), json!({}), "architecture", Unknown, Everything),
        ("architecture not told", json!({}), json!({"architecture": null}), "architecture", Unknown, Everything),
        ("older image", json!({"build": 17763}), json!({}), "version", Broken, Nothing),
        ("build not told", json!({}), json!({"build": null}), "version", Unknown, Everything),
        ("no build in the image", json!({"build": 0}), json!({}), "version", Unknown, Everything),
        ("fewer updates", json!({"build": 19045, "ubr": 2006}), json!({}), "version", Unknown, Everything),
        ("update revision not told", json!({"build": 19045}), json!({"ubr": null}), "version", Unknown, Everything),
        ("media of 22H2 may say 19041", json!({"build": 19041, "ubr": 2006}), json!({}), "version", Unknown, Everything),
        ("before Windows 10", json!({}), json!({"build": 9600}), "version", Unknown, Everything),
        ("2012 R2 to 2022", server(20348), server(9600), "version", Broken, Nothing),
        ("annual channel server", server(26100), server(25398), "version", Unknown, Everything),
        (
            "Server Core",
            server(26100),
            with(server(20348), json!({"installation_type": "Server Core"})),
            "installation type",
            Broken,
            Nothing,
        ),
        ("type not told", json!({}), json!({"installation_type": null}), "installation type", Unknown, Everything),
        ("downgrade", json!({"edition": "Core"}), json!({}), "edition", Broken, PersonalFiles),
        ("unsupported edition", json!({"edition": "Professional"}), json!({"edition": "Enterprise"}), "edition", Broken, Nothing),
        ("unlisted edition", json!({"edition": "IoTEnterprise"}), json!({}), "edition", Unknown, Everything),
        ("other language", json!({}), json!({"language": "de-DE"}), "language", Broken, PersonalFiles),
        (
            "not its default language",
            json!({"languages": ["en-US", "de-DE"]}),
            json!({"language": "de-de"}),
            "language",
            Unknown,
            Everything,
        ),
        ("language not told", json!({}), json!({"language": null}), "language", Unknown, Everything),
        (
            "server of another language",
            with(server(26100), json!({"languages": ["de-DE"], "default_language": "de-DE"})),
            server(20348),
            "language",
            Broken,
            Nothing,
        ),
        ("N", json!({"edition": "ProfessionalN"}), json!({}), "media features", Broken, PersonalFiles),
        ("no N any more", json!({}), json!({"edition": "ProfessionalN"}), "media features", Broken, PersonalFiles),
        ("to LTSC", json!({"edition": "EnterpriseS"}), json!({"edition": "Enterprise"}), "servicing channel", Broken, PersonalFiles),
    ];
    for (case, image, installed, rule, verdict, keeps) in cases {
        let assessment = assessed(&image, &installed);
        let failure = only_failure(&assessment);
        assert_eq!((failure.rule.as_str(), failure.verdict, failure.keeps), (rule, verdict, keeps), "{case}");
        let eligible = if verdict == Broken { Eligible::No } else { Eligible::Unknown };
        assert_eq!((assessment.eligible, assessment.keeps), (eligible, keeps), "{case}");
        assert!(!failure.reason.is_empty(), "{case}");
    }
}

#[test]
fn pairs_that_fit_too() {
    let cases = [
        ("same build, more updates", json!({"build": 19045, "ubr": 5011}), json!({})),
        ("edition upgrade", json!({"edition": "Enterprise"}), json!({})),
        ("both N", json!({"edition": "ProfessionalN"}), json!({"edition": "ProfessionalN"})),
        ("LTSC to GA", json!({"edition": "Enterprise"}), json!({"edition": "EnterpriseS"})),
        ("LTSC to LTSC", json!({"edition": "EnterpriseS"}), json!({"edition": "EnterpriseS", "build": 17763})),
        ("case does not matter", json!({}), json!({"language": "EN-us", "installation_type": "client", "architecture": "AMD64"})),
        ("one language, no default", json!({"default_language": ""}), json!({})),
        (
            "server by the table",
            json!({"edition": "ServerDatacenter", "installation_type": "Server"}),
            json!({"edition": "ServerStandard", "installation_type": "Server", "build": 14393}),
        ),
    ];
    for (case, image, installed) in cases {
        let assessment = assessed(&image, &installed);
        assert_eq!((assessment.eligible, assessment.keeps), (Eligible::Yes, Keeps::Everything), "{case}: {:#?}", assessment.rules);
    }
}

#[test]
fn without_setup_there_is_no_upgrade() {
    let assessment = assess(&image(&json!({})), &installed(&json!({})), MediumFacts { has_setup: false });
    assert_eq!((only_failure(&assessment).rule.as_str(), assessment.eligible, assessment.keeps), ("medium", Eligible::No, Keeps::Nothing));
}

#[test]
fn what_is_not_known_never_makes_an_image_eligible() {
    let assessment = assess(&image(&json!({})), &Installed::default(), MediumFacts { has_setup: true });
    assert_eq!(assessment.eligible, Eligible::Unknown);
    assert_eq!(assessment.rules.iter().filter(|rule| rule.verdict == Verdict::Unknown).count(), 7);
}

#[test]
fn broken_outweighs_unknown() {
    let assessment = assessed(&json!({"architecture": "x86"}), &json!({"language": null}));
    assert_eq!((assessment.eligible, assessment.keeps), (Eligible::No, Keeps::Nothing));
}

#[test]
fn misspelt_facts_are_refused() {
    let error = serde_json::from_value::<Installed>(json!({"languages": "en-US"})).unwrap_err();
    assert!(error.to_string().contains("unknown field `languages`"), "{error}");
}
